"""The tables of leases in memory, with the time that a test says it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tremula.infra.cluster.members import (
    LEASE_MS,
    NO_LOAD,
    Holding,
    Load,
    Member,
    Sight,
)
from tremula.infra.slots import SlotLease


@dataclass(slots=True)
class Row:
    """A member's row."""

    expires_s: float
    is_leaving: bool = False
    is_reachable: bool = True
    load: Load = NO_LOAD


@dataclass(slots=True)
class Table:
    """What ``leases_storage`` does to PostgreSQL, each statement at one moment.

    ``alive`` are those whose writer's number has not been taken from them.
    """

    slots: int
    now_s: float = 0.0
    rows: dict[str, Row] = field(default_factory=dict)
    holdings: list[Holding] = field(default_factory=list)
    moves: int = 0

    def __post_init__(self) -> None:
        self.holdings = [Holding(None, 0)] * self.slots

    def join(self, member: str) -> None:
        self.rows[member] = Row(self.now_s + LEASE_MS / 1000)

    def beat(
        self, member: str, *, is_reachable: bool, load: Load = NO_LOAD
    ) -> Sight | None:
        row = self.rows.get(member)
        if row is None:
            return None
        row.expires_s = self.now_s + LEASE_MS / 1000
        row.is_reachable = is_reachable
        row.load = load
        return Sight(
            tuple(
                Member(
                    id=name,
                    address="",
                    version="",
                    writer=1,
                    is_leaving=each.is_leaving,
                    is_reachable=each.is_reachable,
                    quiet_ms=LEASE_MS + int((self.now_s - each.expires_s) * 1000),
                    load=each.load,
                )
                for name, each in sorted(self.rows.items())
            ),
            tuple(self.holdings),
        )

    def bury(self, members: Sequence[str]) -> None:
        for member in members:
            row = self.rows.get(member)
            if row is not None and row.expires_s <= self.now_s:
                del self.rows[member]

    def claim(self, member: str, slots: Sequence[int]) -> list[SlotLease]:
        taken: list[SlotLease] = []
        for slot in slots:
            holding = self.holdings[slot]
            if holding.member == member or holding.member not in self.rows:
                self.moves += holding.member != member
                self.holdings[slot] = Holding(member, holding.epoch + 1)
                taken.append(SlotLease(slot, holding.epoch + 1))
        return taken

    def release(self, leases: Sequence[SlotLease]) -> None:
        for lease in leases:
            if self.holdings[lease.slot].epoch == lease.epoch:
                self.holdings[lease.slot] = Holding(None, lease.epoch + 1)

    def announce_leaving(self, member: str) -> None:
        if member in self.rows:
            self.rows[member].is_leaving = True

    def withdraw(self, member: str) -> None:
        self.rows.pop(member, None)

    def can_commit(self, member: str, lease: SlotLease) -> bool:
        """What the fence says: the writer's row is there, and the epoch is the same."""
        return member in self.rows and self.holdings[lease.slot].epoch == lease.epoch
