"""Waiting for several things at once."""

import asyncio

import pytest

from tremula.infra.together import GivenUp, Stopping, together


async def test_results_keep_their_keys() -> None:
    both = asyncio.Barrier(2)

    async def work(number: int) -> int:
        await both.wait()
        return number * 2

    assert await together({"a": work(1), "b": work(2)}) == {"a": 2, "b": 4}
    assert await together({}) == {}


async def test_the_first_failure_ends_the_others() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    async def fail() -> None:
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        await together({1: forever(), 2: fail()})
    assert ended == ["forever"]


async def test_what_is_not_wanted_any_more_is_given_up() -> None:
    stopping, begun = Stopping(), asyncio.Event()

    async def work() -> None:
        async with stopping.given_up():
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    stopping.tell()

    with pytest.raises(GivenUp):
        await task
    with pytest.raises(GivenUp):
        await work()


async def test_what_is_done_in_time_is_not_given_up() -> None:
    stopping = Stopping()

    async with stopping.given_up():
        pass
    stopping.tell()
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with Stopping().given_up():
            raise TimeoutError
