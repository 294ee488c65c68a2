"""Waiting for several things at once."""

import asyncio
from collections.abc import Coroutine, Mapping
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
