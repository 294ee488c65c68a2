"""Timers of many who wait about equally long."""

import asyncio
from math import ceil
from typing import Final

TICK_S: Final = 0.1
"""By how much a wait may last longer than it was to."""


class Deadlines:
    """Gives futures up, with the result False, when their time is over.

    All whose time is over in the same tick share a timer of the event loop, which runs
    to its end though nobody waits any more. One future costs an entry in a set.
    """

    __slots__ = ("_by_tick",)

    def __init__(self) -> None:
        self._by_tick: dict[int, set[asyncio.Future[bool]]] = {}

    def add(
        self, future: asyncio.Future[bool], timeout_s: float
    ) -> set[asyncio.Future[bool]]:
        """Give *future* up in *timeout_s*, or up to a tick later.

        Who does not need that any more discards it from the set that this returns.
        """
        loop = asyncio.get_running_loop()
        tick = ceil((loop.time() + timeout_s) / TICK_S)
        futures = self._by_tick.get(tick)
        if futures is None:
            futures = self._by_tick[tick] = set()
            loop.call_at(tick * TICK_S, self._end, tick)
        futures.add(future)
        return futures

    def _end(self, tick: int) -> None:
        for future in self._by_tick.pop(tick):
            if not future.done():
                future.set_result(False)
