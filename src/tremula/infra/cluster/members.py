"""Members of a cluster, what they see of each other, and how long a lease lasts."""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from tremula.infra.slots import SlotLease

LEASE_MS: Final = 4_000
"""How long after its last heartbeat a member counts as alive.

Whoever is killed is noticed after this and a heartbeat, so that its rooms can be
written to again within five seconds. Who stalls for longer has to begin anew.
"""
HEARTBEAT_S: Final = 0.5
"""How often; several may fail before the lease ends. Each is three statements."""
MARGIN_S: Final = 0.5
"""How much earlier a member stops by its own clock: clocks run at different speeds,
and what it has begun should be over."""
STEADY_BEATS: Final = 3
"""A member takes others for dead only after so many heartbeats of its own in a row:
after PostgreSQL was away all are late, and the first must not take everything."""
STEADY_GAP_S: Final = 1.5
"""Heartbeats further apart than this are not in a row."""
UNREACHABLE_S: Final = 2.0
"""A member without the bus for so long hands its slots to those that have it."""
STEP_OUT_S: Final = 4.0
"""After so long it begins anew if others have the bus: these wait for it. Whoever has
lost it at the same time has said so by then."""


class Load(Struct, frozen=True):
    """How much is waiting in a member.

    ``lag_ms``: for how long what it has stored, or heard of, is not shown there yet;
    ``commands``: how many are under way for the slots that it holds.
    """

    lag_ms: int = 0
    commands: int = 0


NO_LOAD: Final = Load()
"""Nothing is waiting."""


class Member(Struct, frozen=True):
    """A process, as the database has it. ``quiet_ms``: since its last heartbeat;
    ``clock_behind_ms``: its machine's clock, as the database's goes; None: unknown.
    """

    id: str
    address: str
    version: str
    writer: int
    is_leaving: bool = False
    is_reachable: bool = True
    quiet_ms: int = 0
    clock_behind_ms: int | None = None
    load: Load = NO_LOAD

    @property
    def is_late(self) -> bool:
        """Whether its lease has ended."""
        return self.quiet_ms >= LEASE_MS


class Holding(Struct, frozen=True):
    """Who holds a slot (None: nobody), since which epoch."""

    member: str | None
    epoch: int


class Sight(Struct, frozen=True):
    """What a heartbeat saw: the members, and the holding of each slot."""

    members: tuple[Member, ...]
    holdings: tuple[Holding, ...]


class LeaseTable(Protocol):
    """Where leases are written down. It alone knows what time it is.

    Every method raises ``DatabaseUnavailable``, and may have been done all the same.
    """

    async def beat(
        self, member: str, *, is_reachable: bool, load: Load = NO_LOAD
    ) -> Sight | None:
        """Prolong the lease of *member*; None if it is no member any more."""
        ...

    async def bury(self, members: Sequence[str]) -> None:
        """Remove those of *members* that are late still: they write nothing more."""
        ...

    async def claim(self, member: str, slots: Sequence[int]) -> list[SlotLease]:
        """Take those of *slots* that nobody else holds, each in a new epoch."""
        ...

    async def release(self, leases: Sequence[SlotLease]) -> None:
        """Let go of what is held in just these epochs."""
        ...

    async def announce_leaving(self, member: str) -> None:
        """Have nothing more given to *member*."""
        ...

    async def withdraw(self, member: str) -> None:
        """Remove *member*, which writes nothing any more."""
        ...
