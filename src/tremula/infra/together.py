"""Waiting for several things at once."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


async def first_of(*events: asyncio.Event) -> None:
    """Wait until one of *events* is set."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


class GivenUp(Exception):
    """What was being done is not wanted any more."""


@asynccontextmanager
async def given_up_when(event: asyncio.Event) -> AsyncIterator[None]:
    """Cancel the body once *event* is set.

    Raises:
        GivenUp: that is what ended it.
    """
    loop = asyncio.get_running_loop()

    async def give_up() -> None:
        await event.wait()
        body.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as body:
            watch = asyncio.create_task(give_up())
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError as error:
        if not body.expired():
            raise
        raise GivenUp from error


async def together(work: Mapping[K, Coroutine[Any, Any, V]]) -> dict[K, V]:
    """Do all of *work* at once; its results by the same keys.

    The first failure ends the others and is raised as it is, not as a group: callers
    tell apart what went wrong by its class.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(each) for key, each in work.items()}
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return {key: task.result() for key, task in tasks.items()}
