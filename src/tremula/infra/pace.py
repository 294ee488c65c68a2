"""How often a process speaks to the others."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 0.001


class Pace:
    """Calls back in the next turn of the loop; under load, each `INTERVAL_S` at most.

    What comes meanwhile shares a message: each costs all processes some 60 µs. Whoever
    writes alone does not wait.
    """

    __slots__ = ("_loop", "_next_s")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next_s = 0.0

    def __call__(self, callback: Callable[[], None]) -> None:
        """Call *callback* soon."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + INTERVAL_S
            self._loop.call_soon(callback)
        else:
            self._loop.call_later(self._next_s - now_s, callback)
