"""What is sent to other servers, in which order, and what a failure does."""

import asyncio

import pytest

from tests.infra.federation.outbound import (
    OTHERS,
    OWN,
    THEM,
    Outbound,
    body_of,
    numbers,
)
from tremula.infra.db import Database
from tremula.infra.federation.destination import Edu
from tremula.infra.federation.peers import Peers
from tremula.protocol.identifiers import ServerName


@pytest.fixture
async def outbound(database: Database) -> Outbound:
    outbound = Outbound(database)
    await outbound.join(THEM)
    return outbound


def edu(outbound: Outbound, number: int = 0, *, lifetime_ms: int = 1000) -> Edu:
    return Edu("m.x", {"e": number}, outbound.clock.now_ms() + lifetime_ms)


async def wait(outbound: Outbound, seconds: int) -> None:
    """Send what is due after a while."""
    outbound.clock.advance_ms(seconds * 1000)
    await outbound.queues.send_due()


async def test_events_are_sent_in_order_50_at_once(outbound: Outbound) -> None:
    await outbound.add(*range(1, 121))
    await outbound.queues.send_due()

    assert outbound.sent_to(THEM) == [
        list(range(1, 51)),
        list(range(51, 101)),
        list(range(101, 121)),
    ]


async def test_a_burst_that_memory_does_not_hold_is_sent_whole(
    outbound: Outbound,
) -> None:
    await outbound.add(*range(1, 1001))
    await outbound.queues.send_due()

    sent = outbound.sent_to(THEM)
    assert [n for each in sent for n in each] == list(range(1, 1001))
    assert len(sent) == 20


async def test_what_waits_is_shown(outbound: Outbound) -> None:
    outbound.net.down.add(OTHERS)
    await outbound.join(OTHERS)
    await outbound.add(1, to=[OTHERS])
    await outbound.queues.send_due()
    await outbound.add(2, 3, to=[OTHERS, THEM])
    outbound.queues.send_edu([THEM], "k", edu(outbound))

    assert outbound.metric("destinations_behind") == 1
    assert outbound.metric("waiting", kind="pdu") == 2
    assert outbound.metric("waiting", kind="edu") == 1


async def test_a_transaction_says_where_it_is_from(outbound: Outbound) -> None:
    await outbound.add(1)
    outbound.queues.send_edu([THEM], "k", edu(outbound, 7))
    await outbound.queues.send_due()

    [sent] = outbound.net.sent
    assert (sent.method, sent.destination) == ("PUT", THEM)
    assert sent.uri.startswith("/_matrix/federation/v1/send/")
    assert body_of(sent) == {
        "origin": OWN,
        "origin_server_ts": outbound.clock.now_ms(),
        "pdus": [{"n": 1}],
        "edus": [{"edu_type": "m.x", "content": {"e": 7}}],
    }


async def test_at_most_100_edus_go_and_the_oldest_are_dropped(
    outbound: Outbound,
) -> None:
    for number in range(150):
        outbound.queues.send_edu([THEM], number, edu(outbound, number))
    await outbound.queues.send_due()

    [sent] = outbound.net.sent
    assert [each["content"]["e"] for each in body_of(sent)["edus"]] == list(
        range(50, 150)
    )
    assert outbound.metric("edus_dropped_total") == 50
    assert outbound.metric("edus_sent_total") == 100


async def test_an_edu_replaces_an_older_one_of_its_key(outbound: Outbound) -> None:
    for number in (1, 2):
        outbound.queues.send_edu([THEM], "typing", edu(outbound, number))
    await outbound.queues.send_due()

    [sent] = outbound.net.sent
    assert [each["content"]["e"] for each in body_of(sent)["edus"]] == [2]


async def test_stale_edus_are_not_sent(outbound: Outbound) -> None:
    outbound.queues.send_edu([THEM], 1, edu(outbound, 1, lifetime_ms=1000))
    outbound.clock.advance_ms(1001)
    await outbound.queues.send_due()

    assert not outbound.net.sent


async def test_who_is_not_reached_is_tried_again_later_and_later(
    outbound: Outbound,
) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    pauses = []
    for _ in range(11):
        outbound.net.sent.clear()
        pause_s = 0
        while not outbound.net.sent:
            outbound.clock.advance_ms(1_000)
            pause_s += 1
            await outbound.queues.send_due()
        pauses.append(pause_s)

    assert pauses == [2**number for number in range(11)]
    for longest_s in (2048, 3600, 3600):
        outbound.net.sent.clear()
        await wait(outbound, longest_s - 1)
        assert not outbound.net.sent
        await wait(outbound, 1)
        assert outbound.sent_to(THEM) == [[1]]
    assert outbound.metric("destinations", phase="pausing") == 1
    assert outbound.metric("transactions_sent_total", outcome="failed") == 15


async def test_a_repeated_transaction_is_the_same(outbound: Outbound) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1, 2)
    await outbound.queues.send_due()
    [first] = outbound.net.sent
    await outbound.add(3)
    outbound.net.down = set()
    outbound.clock.advance_ms(10_000)
    await outbound.queues.send_due()

    _, again, rest = outbound.net.sent
    assert again.uri == first.uri
    assert numbers(again) == [1, 2]
    assert rest.uri != first.uri
    assert numbers(rest) == [3]


async def test_the_pause_ends_when_the_other_side_is_heard_from(
    outbound: Outbound,
) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    for _ in range(10):
        outbound.clock.advance_ms(4_000_000)
        await outbound.queues.send_due()
    outbound.net.sent.clear()
    outbound.net.down = set()
    outbound.clock.advance_ms(60_000)
    await outbound.queues.send_due()
    assert not outbound.net.sent

    outbound.queues.heard_from(THEM)
    await outbound.queues.send_due()

    assert outbound.sent_to(THEM) == [[1]]


async def test_who_talks_but_does_not_answer_is_not_tried_all_the_time(
    outbound: Outbound,
) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    for _ in range(10):
        outbound.queues.heard_from(THEM)
        await outbound.queues.send_due()

    assert outbound.sent_to(THEM) == [[1]]
    for _ in range(3600):
        outbound.queues.heard_from(THEM)
        await wait(outbound, 1)
    # After 1, 2, 4 … 32 seconds, then once a minute.
    assert len(outbound.sent_to(THEM)) == 6 + (3600 - 63) // 60


async def test_who_is_heard_from_long_after_an_earlier_time_is_tried_at_once(
    outbound: Outbound,
) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    outbound.queues.heard_from(THEM)
    for _ in range(12):
        await wait(outbound, 3600)
    await wait(outbound, 60)
    outbound.net.sent.clear()

    outbound.queues.heard_from(THEM)
    await outbound.queues.send_due()

    assert outbound.sent_to(THEM) == [[1]]


async def test_one_that_is_down_holds_up_nobody(outbound: Outbound) -> None:
    await outbound.join(OTHERS)
    outbound.net.down = {THEM}
    await outbound.add(1, to=(THEM, OTHERS))
    await outbound.add(2, to=(THEM, OTHERS))
    await outbound.queues.send_due()

    assert outbound.sent_to(OTHERS) == [[1, 2]]


async def test_catching_up_begins_with_the_newest_event_of_each_room(
    outbound: Outbound,
) -> None:
    """One request by the other side then finds what is before it."""
    rooms = range(1, 61)
    for room in rooms:
        await outbound.join(THEM, room_nid=room)
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    pos = 10
    newest = {}
    for _ in range(3):
        for room in rooms:
            pos += 1
            newest[room] = pos
            await outbound.add(pos, room_nid=room)
    outbound.net.down = set()
    outbound.net.sent.clear()
    outbound.clock.advance_ms(3_600_000)
    await outbound.queues.send_due()

    begun, *caught_up = outbound.sent_to(THEM)
    assert begun == [1]
    sent = [n for each in caught_up for n in each]
    assert sent == sorted(newest.values())
    await outbound.add(1000)
    await outbound.queues.send_due()
    assert outbound.sent_to(THEM) == [[1000]]


async def test_after_a_short_outage_every_event_is_sent(outbound: Outbound) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    for pos in range(2, 41):
        await outbound.add(pos)
    outbound.net.down = set()
    outbound.net.sent.clear()
    outbound.clock.advance_ms(10_000)
    await outbound.queues.send_due()

    assert outbound.sent_to(THEM) == [[1], list(range(2, 41))]


async def test_a_server_gets_what_was_sent_while_it_was_in_the_room(
    outbound: Outbound,
) -> None:
    late = ServerName("late.test")
    await outbound.join(OTHERS)
    await outbound.add(1, to=(THEM, OTHERS))
    await outbound.join(late, pos=2)
    await outbound.add(3, to=(THEM, OTHERS, late))
    await outbound.leave(late, pos=4)
    await outbound.add(4, to=(THEM, OTHERS, late))
    await outbound.add(5, to=(THEM, OTHERS))

    queues = outbound.started()
    await queues.load()
    await queues.send_due()

    assert outbound.sent_to(late) == [[3, 4]]
    assert outbound.sent_to(OTHERS) == [[1, 3, 4, 5]]


async def test_one_transaction_at_a_time_to_each(outbound: Outbound) -> None:
    gate = asyncio.Event()
    outbound.net.slow = {THEM: gate}
    await outbound.add(1)
    sending = asyncio.ensure_future(outbound.queues.send_due())
    await outbound.net.reached.wait()
    await outbound.add(2)
    await outbound.queues.send_due()
    assert outbound.net.at_once_max == 1

    gate.set()
    await sending
    assert outbound.sent_to(THEM) == [[1], [2]]


async def test_many_destinations_share_few_senders(outbound: Outbound) -> None:
    names = [ServerName(f"s{number}.test") for number in range(500)]
    await outbound.join(*names)
    gate = asyncio.Event()
    outbound.net.slow = dict.fromkeys(names, gate)
    outbound.net.awaited = 64
    await outbound.add(1, to=names)
    tasks_before = len(asyncio.all_tasks())
    sending = asyncio.ensure_future(outbound.queues.send_due())
    await outbound.net.reached.wait()
    assert len(asyncio.all_tasks()) - tasks_before <= 66
    gate.set()
    await sending

    assert outbound.net.at_once_max == 64
    assert len(outbound.net.sent) == 500
    assert outbound.metric("destinations", phase="sending") == 0


async def test_nothing_is_sent_to_denied_servers(database: Database) -> None:
    outbound = Outbound(database, peers=Peers(OWN, denied=frozenset({THEM})))
    await outbound.join(THEM)
    await outbound.add(1, to=(THEM, OWN))
    outbound.queues.send_edu([THEM, OWN], 1, edu(outbound))
    await outbound.queues.send_due()
    queues = outbound.started()
    await queues.load()
    await queues.send_due()

    assert not outbound.net.sent


async def test_cve_2025_30355_one_event_that_is_refused_keeps_back_no_other(
    outbound: Outbound,
) -> None:
    outbound.net.refused = {7}
    await outbound.add(*range(1, 11))
    outbound.queues.send_edu([THEM], 1, edu(outbound))
    for _ in range(20):
        await outbound.queues.send_due()
        outbound.clock.advance_ms(3_600_000)

    taken = [
        number for each in outbound.sent_to(THEM) if 7 not in each for number in each
    ]
    assert taken == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert outbound.metric("transactions_sent_total", outcome="refused") >= 1


async def test_cve_2025_30355_an_event_that_cannot_be_read_stops_nobody_else(
    outbound: Outbound,
) -> None:
    await outbound.join(OTHERS)
    outbound.pdus.poison = {1}
    await outbound.add(1)
    await outbound.add(2, to=(OTHERS,))
    await outbound.queues.send_due()

    assert outbound.sent_to(OTHERS) == [[2]]
    assert outbound.metric("destinations", phase="pausing") == 1


async def test_who_fails_again_and_again_gets_no_edus(outbound: Outbound) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    for _ in range(5):
        await outbound.queues.send_due()
        outbound.clock.advance_ms(3_600_000 * 2)
    outbound.queues.send_edu([THEM], 1, edu(outbound, lifetime_ms=10**9))
    outbound.net.down = set()
    outbound.net.sent.clear()
    await outbound.queues.send_due()

    [sent] = outbound.net.sent
    assert body_of(sent)["edus"] == []
    assert outbound.metric("edus_dropped_total") == 1


async def test_old_events_are_forgotten_but_the_newest_of_a_room(
    outbound: Outbound,
) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.add(2)
    outbound.clock.advance_ms(20 * 24 * 3600 * 1000)
    await outbound.add(3, room_nid=2)
    await outbound.queues.prune_at_times()
    rows = await outbound.database.all("SELECT pos FROM federation_outbox ORDER BY pos")

    assert [pos for (pos,) in rows] == [2, 3]
