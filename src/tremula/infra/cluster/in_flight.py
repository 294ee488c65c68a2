"""The commands under way, by slot: who hands a slot over waits for its commands."""

from collections.abc import Callable
from typing import Final

DRAIN_S: Final = 2.0
"""How long a hand-over waits. What goes on after that can't be stored any more, and is
done again by the new holder."""


class InFlight:
    """Counts the commands of each slot that have begun and not ended."""

    __slots__ = ("_asked_s", "_counts", "_now_s", "on_idle")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._counts: dict[int, int] = {}
        self._asked_s: dict[int, float] = {}
        self.on_idle: Callable[[], None] = _nothing
        """Called when the last command of a slot that was asked for has ended."""

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self._counts.values())

    def begin(self, slot: int) -> None:
        """A command of *slot* begins."""
        self._counts[slot] = self._counts.get(slot, 0) + 1

    def end(self, slot: int) -> None:
        """A command of *slot* has ended, whatever has become of it."""
        count = self._counts[slot] - 1
        if count:
            self._counts[slot] = count
            return
        del self._counts[slot]
        if self._asked_s.pop(slot, None) is not None:
            self.on_idle()

    def is_idle(self, slot: int) -> bool:
        """Whether nothing is under way, or whoever waits has waited long enough.

        Waiting begins with the first call.
        """
        if slot not in self._counts:
            return True
        since_s = self._asked_s.setdefault(slot, self._now_s())
        return self._now_s() - since_s >= DRAIN_S


def _nothing() -> None:
    """Until somebody wants to know."""
