"""What is known of one application service that something is to be done for."""

from enum import Enum, auto
from typing import Final

from msgspec import Struct

from tremula.infra.turns import Phase

_FIRST_PAUSE_MS: Final = 1_000
# One that is back makes itself heard, as a rule.
_LONGEST_PAUSE_MS: Final = 600_000
_LONGEST_PAUSE_WHEN_HEARD_MS: Final = 5_000


class Begun(Enum):
    """What is known of the transaction that is stored as begun."""

    UNKNOWN = auto()
    NONE = auto()
    UNDER_WAY = auto()
    TAKEN = auto()


class Queue(Struct):
    """An application service for which there may be something to send.

    ``has_news``: more than was looked at may wait, since ``waiting_since_ms``.
    ``is_back``: it has made itself heard while it was being tried.
    """

    appservice_id: str
    waiting_since_ms: int
    has_news: bool = True
    begun: Begun = Begun.UNKNOWN
    phase: Phase = Phase.IDLE
    failures: int = 0
    failed_at_ms: int = 0
    retry_at_ms: int = 0
    is_back: bool = False

    @property
    def key(self) -> str:
        """What it is found by among others."""
        return self.appservice_id

    @property
    def is_finished(self) -> bool:
        """Whether nothing is to be done, so that it can be forgotten."""
        return not self.has_news and not self.failures and self.begun is Begun.NONE

    def failed(self, now_ms: int, *, jitter: float) -> None:
        """It was not reached. *jitter* is random between 0 and 1."""
        pause_ms = min(_FIRST_PAUSE_MS << min(self.failures, 20), _LONGEST_PAUSE_MS)
        if self.is_back:
            pause_ms = 0
            self.is_back = False
        self.failures += 1
        self.failed_at_ms = now_ms
        # At random, so that not all that failed at one time come back at one time.
        self.retry_at_ms = now_ms + int(pause_ms * (0.75 + jitter / 2))

    def heard_from(self) -> bool:
        """It makes requests; whether it is to be tried sooner on that account."""
        at_ms = self.failed_at_ms + _LONGEST_PAUSE_WHEN_HEARD_MS
        is_sooner = self.failures > 0 and at_ms < self.retry_at_ms
        if is_sooner:
            self.retry_at_ms = at_ms
        return is_sooner
