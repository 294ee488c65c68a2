"""What the connections of all listeners have in common."""

import asyncio
from collections.abc import Coroutine
from typing import Protocol


class Stoppable(Protocol):
    """A connection, whatever it speaks."""

    def shutdown(self) -> None:
        """End as soon as is polite: the server stops."""
        ...


class Connections:
    """Those that are ``open``, and the ``tasks`` that answer requests at present, some
    of which go on without their client. ``date_line`` is the header of answers.
    """

    __slots__ = ("date_line", "open", "tasks")

    def __init__(self) -> None:
        self.open: set[Stoppable] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.date_line = b""

    def run(self, answering: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin to answer requests, as a task that tells when it comes to `rest`."""
        task = asyncio.get_running_loop().create_task(answering)
        self.tasks.add(task)
        return task

    def rest(self, task: asyncio.Task[None] | None) -> None:
        """Note that *task* does not answer any more, or not yet again."""
        if task is not None:
            self.tasks.discard(task)
