"""How long a commit waits for more to share it."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

_COMMITS: Final = 4.0
_LEAST_S: Final = 0.002
_MOST_S: Final = 0.020


class Gathering:
    """Whoever shared a commit comes back soon: the next one waits for as many units.

    A commit costs the same whatever is in it, and those who come back while another
    one is under way would share the one after it, half as many in each, for good.

    They have four times as long as their commit took: a cluster's other processes must
    hear of it before they are answered, and on a busy machine all of that takes as much
    longer. Who does not come by then is not waited for again; who writes alone never
    waits.
    """

    __slots__ = ("_begin", "_deadline", "_expected", "_until_s")

    def __init__(self) -> None:
        self._expected = 0
        self._until_s = 0.0
        self._begin: Callable[[], None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def came(self) -> None:
        """A unit came."""
        if self._expected:
            self._expected -= 1
            if not self._expected:
                self._let_go()

    def settled(self, units: int, took_s: float) -> None:
        """So many shared a commit that took so long, and are told now."""
        self._expected = self._expected + units if units > 1 else 0
        self._until_s = time.monotonic() + _patience_s(took_s)

    def then(self, begin: Callable[[], None]) -> None:
        """Call *begin* when they are back, or their time is up: now, if they are."""
        left_s = self._until_s - time.monotonic() if self._expected else 0.0
        if left_s <= 0:
            self._expected = 0
            begin()
            return
        self._begin = begin
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(left_s, self._let_go)

    async def complete(self) -> None:
        """Wait until they are back, or their time is up."""
        if self._expected:
            back = asyncio.get_running_loop().create_future()
            self.then(partial(back.set_result, None))
            await back

    def _let_go(self) -> None:
        if self._begin is None or self._deadline is None:
            return
        self._deadline.cancel()
        begin, self._begin = self._begin, None
        self._expected = 0
        # At the end of this turn of the loop: what else it submits joins in.
        asyncio.get_running_loop().call_soon(begin)


def _patience_s(took_s: float) -> float:
    return min(max(_COMMITS * took_s, _LEAST_S), _MOST_S)
