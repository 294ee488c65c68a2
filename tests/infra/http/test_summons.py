"""How a connection's task is told to go on."""

import asyncio

import pytest

from tremula.infra.http.summons import Summons


async def test_the_task_runs_on_before_go_returns() -> None:
    loop = asyncio.get_running_loop()
    summons = Summons()
    steps: list[str] = []

    async def wait_twice() -> None:
        for step in ("first", "second"):
            await summons
            steps.append(step)

    def go() -> None:
        summons.go()
        steps.append("returned")

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(wait_twice())
        await asyncio.sleep(0)
        loop.call_soon(go)
        loop.call_soon(go)
        await waiting

    assert steps == ["first", "returned", "second", "returned"]


async def test_to_go_without_a_task_that_waits_is_nothing() -> None:
    Summons().go()


async def test_a_task_that_waits_may_be_cancelled() -> None:
    summons = Summons()

    async def wait() -> None:
        await summons

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
