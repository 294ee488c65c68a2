"""A clock that moves only when told to."""

from dataclasses import dataclass


@dataclass(slots=True)
class FakeClock:
    """Implements ``Clock``; starts in the middle of 2026."""

    epoch_ms: int = 1_782_000_000_000

    def now_ms(self) -> int:
        """The time that the test last set, in milliseconds."""
        return self.epoch_ms

    def monotonic_s(self) -> float:
        """The same time in seconds."""
        return self.epoch_ms / 1000

    def advance_ms(self, ms: int) -> None:
        """Move the clock forward by *ms*."""
        self.epoch_ms += ms
