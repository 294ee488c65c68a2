"""Time, as a value that services are given."""

import time
from typing import Protocol

from msgspec import Struct


class Clock(Protocol):
    """Tells the time. Tests have one that stands still until moved."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never run backwards, from an arbitrary start."""
        ...


class SystemClock(Struct, frozen=True):
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start, never running backwards."""
        return time.monotonic()
