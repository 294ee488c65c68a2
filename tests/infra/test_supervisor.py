"""Background tasks: failures, restarts, the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tremula.infra.bus import BusUnavailable
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.metrics import Metrics
from tremula.infra.supervisor import Backoff, Supervisor
from tremula.protocol.errors import Unknown

AT_ONCE = Backoff(first_s=0, most_s=0)
DEADLINE_S = 10


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def supervisor(metrics: Metrics) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(metrics, AT_ONCE)
    yield supervisor
    await supervisor.stop()


async def event(happened: asyncio.Event) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await happened.wait()


def failures(metrics: Metrics, task: str) -> float | None:
    return metrics.registry.get_sample_value(
        "tremula_task_failures_total", {"task": task}
    )


async def test_a_task_that_fails_is_logged_counted_and_restarted(
    supervisor: Supervisor, metrics: Metrics
) -> None:
    runs = 0
    recovered = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ConnectionError("gone")
        recovered.set()

    with capture_logs() as logs:
        supervisor.keep_running("relay", work)
        await event(recovered)

    assert runs == 3
    assert failures(metrics, "relay") == 2
    assert [(line["event"], line["task"]) for line in logs] == [
        ("task_failed", "relay")
    ] * 2


async def test_work_that_is_done_once_is_not_repeated(
    supervisor: Supervisor, metrics: Metrics
) -> None:
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise ConnectionError("gone")

    with capture_logs():
        supervisor.run_once("greet", work)
        await event(failed)
        await supervisor.stop()

    assert failures(metrics, "greet") == 1


async def test_stopping_cancels_every_task(supervisor: Supervisor) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    supervisor.keep_running("relay", work)
    await event(started)
    await supervisor.stop()

    assert cancelled.is_set()


async def test_nothing_starts_after_the_end(supervisor: Supervisor) -> None:
    async def work() -> None:
        raise AssertionError("it ran")

    await supervisor.stop()

    with pytest.raises(RuntimeError, match="late was started after"):
        supervisor.run_once("late", work)


@pytest.mark.parametrize(
    ("pause_s", "ran_s", "expected"),
    [(0, 0, 1), (1, 0, 2), (32, 5, 60), (60, 59, 60), (60, 60, 1)],
)
def test_the_pause_doubles_until_work_goes_well(
    pause_s: float, ran_s: float, expected: float
) -> None:
    assert Backoff().after(pause_s, ran_s=ran_s) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseUnavailable("away"), "task_interrupted"),
        (BusUnavailable("away"), "task_interrupted"),
        (Unknown("away", status=503), "task_interrupted"),
        (Unknown("a bug"), "task_failed"),
        (ValueError("a bug"), "task_failed"),
    ],
)
async def test_an_outage_is_told_apart_from_a_bug(
    supervisor: Supervisor, error: Exception, expected: str
) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        ended.set()
        raise error

    with capture_logs() as logs:
        supervisor.run_once("relay", work)
        await event(ended)
        await supervisor.stop()

    assert [each["event"] for each in logs] == [expected]
