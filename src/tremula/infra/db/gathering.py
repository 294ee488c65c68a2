"""How long a commit waits for more to share it."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

_COMMITS: Final = 4.0
_LEAST_S: Final = 0.002
_MOST_S: Final = 0.020
_LATE_S: Final = 0.002


class Gathering:
    """Whoever shared a commit comes back soon: the next one waits for as many units.

    A commit costs the same whatever is in it, and those who come back while another
    one is under way would share the one after it, half as many in each, for good.

    They have four times as long as their commit took: a cluster's other processes must
    hear of it before they are answered, and on a busy machine all of that takes as much
    longer. Who does not come by then is not waited for again; who writes alone never
    waits.

    A unit has its positions, and until it is stored nobody, in any process, is shown
    what comes after them. If it waited for those who wait to be shown that, neither
    would come before the time is up. So a cluster's commands wait for their `turn`
    before they make their units, and units that wait all the same go in a `hurry`.
    """

    __slots__ = (
        "_begin",
        "_deadline",
        "_expected",
        "_held",
        "_is_hurried",
        "_is_storing",
        "_owed",
        "_until_s",
    )

    def __init__(self) -> None:
        self._expected = 0
        self._until_s = 0.0
        self._is_storing = False
        self._is_hurried = False
        self._held: list[asyncio.Future[None]] = []
        # Units of those who have had their turn.
        self._owed = 0
        self._begin: Callable[[], None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    async def turn(self) -> None:
        """Wait until it is time to make a unit."""
        if not self._is_storing and not self._expected:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(turn)
        self._one_less()
        if self._held and not self._is_storing:
            self._look()
        await turn

    def came(self, *, had_turn: bool = False) -> None:
        """A unit came."""
        if not had_turn:
            self._one_less()
        elif self._owed:
            self._owed -= 1
            if not self._owed:
                self._let_go()

    def hurry(self) -> None:
        """Somebody waits for the units that are there."""
        self._is_hurried = True
        self._let_go()

    def begun(self) -> None:
        """A commit is under way."""
        self._is_storing = True
        self._is_hurried = False
        self._owed = 0
        self._stop_waiting()

    def settled(self, units: int, took_s: float) -> None:
        """So many shared a commit that took so long, and are told now."""
        self._is_storing = False
        if units > 1 or self._expected:
            self._expected += units
        self._until_s = time.monotonic() + _patience_s(took_s)
        if self._held:
            self._look()

    def then(self, begin: Callable[[], None]) -> None:
        """Call *begin* when they are back, or their time is up: now, if they are."""
        if self._is_hurried or not (self._expected or self._owed):
            begin()
            return
        self._begin = begin
        if self._expected:
            self._look()

    async def complete(self) -> None:
        """Wait until they are back, or their time is up."""
        back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.then(partial(back.set_result, None))
        await back

    def _one_less(self) -> None:
        if self._expected:
            self._expected -= 1
            if not self._expected and not self._is_storing:
                self._open()

    def _look(self) -> None:
        if not self._expected:
            self._open()
        elif self._deadline is None:
            self._wait(self._until_s - time.monotonic())

    def _open(self) -> None:
        """Nobody is waited for any more but those who have their turn now."""
        self._stop_waiting()
        self._expected = 0
        held, self._held = self._held, []
        for turn in held:
            if not turn.done():
                self._owed += 1
                turn.set_result(None)
        if self._owed:
            # As a rule they come in this turn of the loop; or they were refused.
            self._wait(_LATE_S)
        else:
            self._let_go()

    def _wait(self, at_most_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(max(at_most_s, 0), self._end)

    def _end(self) -> None:
        if self._expected:
            self._open()
        else:
            self._owed = 0
            self._stop_waiting()
            self._let_go()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _let_go(self) -> None:
        begin, self._begin = self._begin, None
        if begin is not None:
            # At the end of this turn of the loop: what else it submits joins in.
            asyncio.get_running_loop().call_soon(begin)


def _patience_s(took_s: float) -> float:
    return min(max(_COMMITS * took_s, _LEAST_S), _MOST_S)
