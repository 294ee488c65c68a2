"""When an application service that failed is tried again."""

from tremula.features.appservice_transactions.queue import Queue

HOUR_MS = 3_600_000


def failed(times: int, *, jitter: float = 0.5) -> Queue:
    queue = Queue("irc", 0)
    for _ in range(times):
        queue.failed(HOUR_MS, jitter=jitter)
    return queue


def test_pauses_double_up_to_ten_minutes() -> None:
    pauses_s = [(failed(times).retry_at_ms - HOUR_MS) // 1000 for times in range(1, 15)]

    assert pauses_s[:5] == [1, 2, 4, 8, 16]
    assert pauses_s[-1] == max(pauses_s) == 600


def test_not_all_come_back_at_one_time() -> None:
    first, last = failed(1, jitter=0), failed(1, jitter=1)

    assert (first.retry_at_ms, last.retry_at_ms) == (HOUR_MS + 750, HOUR_MS + 1_250)


def test_who_makes_requests_is_tried_five_seconds_after_it_failed() -> None:
    queue = failed(10)

    assert queue.heard_from()
    assert queue.retry_at_ms == HOUR_MS + 5_000
    assert not queue.heard_from()


def test_who_came_back_while_it_was_tried_is_tried_again_at_once() -> None:
    queue = Queue("irc", 0, is_back=True)

    queue.failed(HOUR_MS, jitter=1)
    assert queue.retry_at_ms == HOUR_MS
    queue.failed(HOUR_MS, jitter=0.5)
    assert queue.retry_at_ms == HOUR_MS + 2_000
