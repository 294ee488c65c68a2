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


class Stopping:
    """Is told once that what goes on is not wanted any more."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self._body: asyncio.Timeout | None = None

    def tell(self) -> None:
        """Cancel what is `given_up`."""
        self.told.set()
        if self._body is not None:
            self._body.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def given_up(self) -> AsyncIterator[None]:
        """Cancel the body once it is told.

        Raises:
            GivenUp: that is what ended it.
        """
        body = asyncio.timeout(0 if self.told.is_set() else None)
        try:
            async with body:
                self._body = body
                try:
                    yield
                finally:
                    self._body = None
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
