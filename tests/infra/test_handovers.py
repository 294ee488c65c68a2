"""Work that is handed over to a thread together."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import pytest

from tremula.infra.handovers import Handovers

P = ParamSpec("P")
T = TypeVar("T")


class CountingExecutor(ThreadPoolExecutor):
    """Counts what it is given."""

    given = 0

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        self.given += 1
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
async def executor() -> CountingExecutor:
    executor = CountingExecutor()
    asyncio.get_running_loop().set_default_executor(executor)
    return executor


def _fail() -> None:
    raise ValueError("this one")


async def test_work_of_one_turn_is_one_handover(executor: CountingExecutor) -> None:
    handovers = Handovers()

    threads = await asyncio.gather(
        *(handovers.run(threading.get_ident) for _ in range(20))
    )

    assert set(threads) != {threading.get_ident()}
    assert executor.given == 1


async def test_work_that_comes_later_is_done_as_well(
    executor: CountingExecutor,
) -> None:
    handovers = Handovers()

    assert [await handovers.run(lambda: "first"), await handovers.run(str)] == [
        "first",
        "",
    ]
    assert executor.given == 2


async def test_a_failure_is_raised_where_it_is_waited_for() -> None:
    handovers = Handovers()

    before, failed, after = await asyncio.gather(
        handovers.run(lambda: 1),
        handovers.run(_fail),
        handovers.run(lambda: 3),
        return_exceptions=True,
    )

    assert (before, after) == (1, 3)
    assert isinstance(failed, ValueError)


async def test_whoever_gives_up_does_not_keep_the_others_waiting() -> None:
    handovers = Handovers()
    held = threading.Event()
    given_up = asyncio.ensure_future(handovers.run(held.wait))
    other = asyncio.ensure_future(handovers.run(lambda: "done"))
    await asyncio.sleep(0)

    given_up.cancel()
    held.set()

    assert await other == "done"
    assert given_up.cancelled()
