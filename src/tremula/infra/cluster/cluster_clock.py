"""One time for all processes of a cluster: the database's."""

import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

TOLERATED_MS: Final = 500
"""Machines that are kept on time differ by less: their own clocks count."""
WARNED_FROM_MS: Final = 2_000
FOLLOWED_MS_MAX: Final = 3_600_000
"""Where the difference is greater, it is as likely the database's clock that is wrong:
the machine's own counts."""


class ClusterClock:
    """Implements ``Clock``: the machine's, moved to the database's where they differ.

    What one process lets expire ends at the same moment at all others, and a machine
    whose clock is minutes off keeps nobody's tokens too long.
    """

    __slots__ = ("_has_warned", "_machine_ns", "behind_ms", "offset_ms")

    def __init__(self, machine_ns: Callable[[], int] = time.time_ns) -> None:
        self._machine_ns = machine_ns
        self._has_warned = False
        self.offset_ms = 0
        """How much later it is than the machine says."""
        self.behind_ms: int | None = None
        """The same as it was last measured, whether it counts or not."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._machine_ns() // 1_000_000 + self.offset_ms

    monotonic_s = staticmethod(time.monotonic)
    """Seconds since an arbitrary start, never running backwards. Asked for often."""

    def told(self, database_ms: int, *, asked_ms: int) -> None:
        """The database has said what time it is, when it was asked at *asked_ms* by
        this clock. It may have looked at any moment since.
        """
        early_ms = database_ms - self.now_ms()
        late_ms = database_ms - asked_ms
        self.behind_ms = self.offset_ms + (early_ms + late_ms) // 2
        if early_ms <= TOLERATED_MS and late_ms >= -TOLERATED_MS:
            return
        offset_ms = self.behind_ms
        is_followed = abs(offset_ms) <= FOLLOWED_MS_MAX
        self.offset_ms = offset_ms if is_followed else 0
        if abs(offset_ms) >= WARNED_FROM_MS and not self._has_warned:
            self._has_warned = True
            log.warning(
                "clock_differs_from_the_databases",
                seconds=offset_ms / 1000,
                is_followed=is_followed,
            )
