"""What one other server is still to be sent, and when it is tried again."""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from tremula.infra.slots import SlotLease
from tremula.infra.turns import Phase
from tremula.protocol.identifiers import ServerName

# SS "Transactions": "they can have at most 50 PDUs and 100 EDUs".
PDUS_MAX: Final = 50
EDUS_MAX: Final = 100

# More are not kept in memory but read from the outbox.
_PENDING_MAX: Final = 4 * PDUS_MAX
# Who fails more often, for about 15 s, gets no EDUs: there may be tens of thousands.
_FAILURES_WITH_EDUS_MAX: Final = 4

_FIRST_PAUSE_MS: Final = 1_000
# A server that is back makes itself heard at the latest when its users do something.
_LONGEST_PAUSE_MS: Final = 3_600_000
# Of one that makes requests, but can't be reached.
_LONGEST_PAUSE_WHEN_HEARD_MS: Final = 60_000


class Entry(Struct, frozen=True):
    """An event in the outbox, by its place there and by its number."""

    pos: int
    event_nid: int


class Edu(Struct, frozen=True):
    """An ephemeral data unit, which nobody wants any more when it has expired."""

    edu_type: str
    content: Mapping[str, Any]
    expires_ms: int


class Transaction(Struct, frozen=True):
    """What is sent at once, and again under the same ID until it has arrived.

    ``pos`` is the outbox's up to which this destination then has everything; None if
    there are no events. ``edus`` are not stored: after a restart the same is repeated
    without them. The durable ones are, and are only counted here.
    """

    txn_id: str
    pos: int | None
    event_nids: tuple[int, ...]
    edus: tuple[Edu, ...] = ()
    durable_edus: int = 0

    @property
    def is_stored(self) -> bool:
        """Whether it has anything that must arrive."""
        return bool(self.event_nids or self.durable_edus)


class Destination(Struct):
    """Another server for which something is to be done.

    ``pending`` are the events after ``sent_pos``, unless it ``is_behind``: then they
    are in the outbox. ``sent_pos`` is None as long as no event is known. After an
    outage, it ``is_catching_up`` as long as it is behind; until that is over,
    ``stored_failures`` stay in the database. ``noticed_pos`` is the newest event it was
    told of. ``was_heard``: it has made requests since it could not be reached.
    ``may_have_durable_edus``: whether to look for them. What becomes of it is stored
    under the ``lease`` of its slot.
    """

    name: ServerName
    sent_pos: int | None = None
    transaction: Transaction | None = None
    pending: deque[Entry] = field(default_factory=deque)
    edus: dict[Hashable, Edu] = field(default_factory=dict)
    may_have_durable_edus: bool = False
    is_behind: bool = False
    is_catching_up: bool = False
    noticed_pos: int = 0
    pdus_max: int = PDUS_MAX
    edus_max: int = EDUS_MAX
    phase: Phase = Phase.IDLE
    failures: int = 0
    stored_failures: int = 0
    failed_at_ms: int = 0
    retry_at_ms: int = 0
    was_heard: bool = False
    lease: SlotLease | None = None

    @property
    def key(self) -> str:
        """What it is found by among others."""
        return self.name

    @property
    def has_work(self) -> bool:
        """Whether there is anything to send."""
        return bool(
            self.transaction
            or self.pending
            or self.edus
            or self.is_behind
            or self.may_have_durable_edus
        )

    def add(self, entry: Entry) -> None:
        """One more event is to be sent."""
        if self.sent_pos is None:
            self.sent_pos = entry.pos - 1
        if entry.pos <= self._taken_pos:
            return
        self.noticed_pos = entry.pos
        if self.failures or len(self.pending) >= _PENDING_MAX:
            self.fall_behind()
        elif not self.is_behind:
            self.pending.append(entry)

    @property
    def _taken_pos(self) -> int:
        """Up to here events have been sent, or are on their way."""
        begun = self.transaction.pos if self.transaction else None
        return begun or self.sent_pos or 0

    def add_edu(self, key: Hashable, edu: Edu) -> int:
        """One more EDU is to be sent, in place of an earlier one with its key.

        Returns how many are not sent on account of it, itself among them.
        """
        if self.failures > _FAILURES_WITH_EDUS_MAX:
            return 1
        replaced = self.edus.pop(key, None)
        self.edus[key] = edu
        if len(self.edus) <= EDUS_MAX:
            return int(replaced is not None)
        del self.edus[next(iter(self.edus))]
        return 1

    def take_edus(self, now_ms: int, *, limit: int) -> tuple[Edu, ...]:
        """The EDUs for the next transaction, without those that have expired."""
        wanted = {k: edu for k, edu in self.edus.items() if edu.expires_ms > now_ms}
        keys = list(wanted)[:limit]
        edus = tuple(wanted.pop(key) for key in keys)
        self.edus = wanted
        return edus

    def take_pending(self) -> list[Entry]:
        """The events for the next transaction."""
        count = min(self.pdus_max, len(self.pending))
        return [self.pending.popleft() for _ in range(count)]

    def catch_up_from(self, pos: int) -> None:
        """Leave to the outbox what came after *pos*; unless more is known, it has got
        everything up to there.
        """
        if self.noticed_pos > pos:
            if self.sent_pos is None:
                self.sent_pos = pos
            self.fall_behind()

    def fall_behind(self) -> None:
        """Leave to the outbox what is to be sent."""
        self.pending.clear()
        self.is_behind = self.sent_pos is not None

    def failed(self, now_ms: int, *, jitter: float) -> None:
        """It was not reached. *jitter* is random between 0 and 1."""
        self.failures += 1
        self.failed_at_ms = now_ms
        # At random, so that not all that failed at one time come back at one time.
        self.retry_at_ms = now_ms + int(self._pause_ms * (0.75 + jitter / 2))
        self.fall_behind()
        self.is_catching_up = self.is_behind

    def heard_from(self) -> None:
        """It is up: if the last try was not just now, it may be tried again.

        The first time, the failures before count no more. If it fails all the same, the
        pauses grow again, but not as long.
        """
        if not self.was_heard:
            self.was_heard = True
            self.failures = 1
        pause_ms = min(self._pause_ms, _LONGEST_PAUSE_WHEN_HEARD_MS)
        self.retry_at_ms = min(self.retry_at_ms, self.failed_at_ms + pause_ms)

    def succeeded(self) -> None:
        """It was reached."""
        self.failures = 0
        self.retry_at_ms = 0
        self.was_heard = False
        self.pdus_max = min(2 * self.pdus_max, PDUS_MAX)
        self.edus_max = min(2 * self.edus_max + 1, EDUS_MAX)

    @property
    def _pause_ms(self) -> int:
        doublings = min(self.failures - 1, 20)
        return min(_FIRST_PAUSE_MS << doublings, _LONGEST_PAUSE_MS)
