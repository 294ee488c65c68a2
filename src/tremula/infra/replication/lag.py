"""How far what is shown is behind what has come."""

from collections import deque
from collections.abc import Callable


class Lag:
    """Remembers when what is not shown yet came; costs little for each of it."""

    __slots__ = ("_came", "_now_s")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        # Of rising positions, each with its time. What came later for a lower one has
        # waited less than what was there already.
        self._came: deque[tuple[int, float]] = deque()

    def came(self, pos: int) -> None:
        """Something at *pos* is to be shown."""
        if not self._came or pos > self._came[-1][0]:
            self._came.append((pos, self._now_s()))

    def passed(self, floor: int) -> None:
        """Everything up to *floor* is shown."""
        while self._came and self._came[0][0] <= floor:
            self._came.popleft()

    @property
    def seconds(self) -> float:
        """For how long the oldest of what is not shown has waited; 0 if all is."""
        return self._now_s() - self._came[0][1] if self._came else 0.0
