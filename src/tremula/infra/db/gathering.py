"""How long a commit waits for more to share it."""

import asyncio
import time
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

    __slots__ = ("_complete", "_expected", "_until_s")

    def __init__(self) -> None:
        self._expected = 0
        self._until_s = 0.0
        self._complete: asyncio.Future[None] | None = None

    def came(self) -> None:
        """A unit came."""
        if self._expected:
            self._expected -= 1
            if not self._expected and self._complete is not None:
                _let_go(self._complete)

    def settled(self, units: int, took_s: float) -> None:
        """So many shared a commit that took so long, and are told now."""
        self._expected = self._expected + units if units > 1 else 0
        self._until_s = time.monotonic() + _patience_s(took_s)

    async def complete(self) -> None:
        """Wait until they are back, or their time is up."""
        if not self._expected:
            return
        left_s = self._until_s - time.monotonic()
        if left_s > 0:
            loop = asyncio.get_running_loop()
            self._complete = loop.create_future()
            deadline = loop.call_later(left_s, _let_go, self._complete)
            await self._complete
            deadline.cancel()
            self._complete = None
        self._expected = 0


def _patience_s(took_s: float) -> float:
    return min(max(_COMMITS * took_s, _LEAST_S), _MOST_S)


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
