"""Waiting for several things at once."""

import asyncio

import pytest

from tremula.infra.together import GivenUp, given_up_when, together


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
    unwanted, begun = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with given_up_when(unwanted):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    unwanted.set()

    with pytest.raises(GivenUp):
        await task


async def test_what_is_done_in_time_is_not_given_up() -> None:
    unwanted = asyncio.Event()

    async with given_up_when(unwanted):
        pass
    unwanted.set()
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with given_up_when(asyncio.Event()):
            raise TimeoutError
