"""Cancelling the work for a client that has gone."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from tremula.infra.http.asgi import Receive
from tremula.infra.http.errors import HungUpError

T = TypeVar("T")

# Most answers are there sooner, and cost no watching.
_UNWATCHED_S = 0.05


async def unless_hung_up(work: Awaitable[T], receive: Receive) -> T:
    """Await *work*, and cancel it when the client hangs up.

    No server does that by itself: a dead long poll would wait to its end.

    Raises:
        HungUpError: the client has gone, and *work* has been cancelled.
    """
    watch = _Watch(receive)
    try:
        return await work
    except asyncio.CancelledError:
        if not watch.has_hung_up:
            raise
        watch.worker.uncancel()
        raise HungUpError from None
    finally:
        watch.stop()


class _Watch:
    """Cancels the task that made it when the client hangs up, until stopped."""

    __slots__ = ("_receive", "_task", "_timer", "has_hung_up", "worker")

    def __init__(self, receive: Receive) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        self.worker = worker
        self.has_hung_up = False
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        loop = worker.get_loop()
        self._timer = loop.call_later(_UNWATCHED_S, self._start)

    def stop(self) -> None:
        """End the watch, unless it is what ends the work."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        # Owned by this watch, which lives as long as the request's own task.
        self._task = self.worker.get_loop().create_task(self._wait())

    async def _wait(self) -> None:
        message = await self._receive()
        while message["type"] != "http.disconnect":
            message = await self._receive()
        self.has_hung_up = True
        self.worker.cancel()
