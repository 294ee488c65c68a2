"""How a connection's task is told, between two requests, to go on."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Summons:
    """What a task awaits over and over; `go` runs it on at once.

    A future-like object (see ``asyncio.isfuture``). A future would have its task run
    on in the next turn of the event loop, and a task made for each request would begin
    there: either takes the loop's handle and a round through it, which is a tenth of
    what an empty request costs. `go` must not be called from a task.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_context",
        "_is_cancelled",
        "_loop",
        "_wake",
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asyncio_future_blocking = False
        self._is_cancelled = False
        self._wake: Callable[[Summons], object] | None = None
        self._context: Context | None = None

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for `go`."""
        self._asyncio_future_blocking = True
        yield self

    def go(self) -> None:
        """Run the task, if it waits, up to where it waits again."""
        wake = self._wake
        if wake is not None:
            assert self._context is not None
            self._wake = None
            self._context.run(wake, self)

    # What a task asks of what it waits for

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the task."""
        return self._loop

    def add_done_callback(
        self, callback: "Callable[[Summons], object]", *, context: Context
    ) -> None:
        """Have `go` call *callback*, which runs the task."""
        self._wake = callback
        self._context = context

    def result(self) -> None:
        """What the task gets of waiting: nothing.

        Raises:
            CancelledError: the task is to end.
        """
        if self._is_cancelled:
            raise asyncio.CancelledError

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002
        """End the task, in the next turn of the event loop: one may be running now."""
        if self._wake is None:
            return False
        self._is_cancelled = True
        self._loop.call_soon(self.go)
        return True
