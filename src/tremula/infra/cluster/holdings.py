"""What this member holds, as far as it can know; no I/O."""

from collections.abc import Collection, Sequence

from tremula.infra.cluster.members import (
    LEASE_MS,
    MARGIN_S,
    STEADY_BEATS,
    STEADY_GAP_S,
    Holding,
    Sight,
)
from tremula.infra.slots import SlotLease


class Holdings:
    """The slots of one member, and until when it may believe that it holds them.

    Times are of the member's own clock, which need not agree with any other but must
    not be much slower.
    """

    __slots__ = (
        "_beat_s",
        "_held",
        "_leaving",
        "_seen",
        "_steady",
        "_until_s",
        "member",
    )

    def __init__(self, member: str) -> None:
        self.member = member
        self._held: dict[int, SlotLease] = {}
        self._leaving: dict[int, SlotLease] = {}
        self._beat_s = float("-inf")
        self._until_s = float("-inf")
        self._steady = 0
        # Those of the last sight.
        self._seen: Sequence[Holding] = ()

    def lease(self, slot: int, now_s: float) -> SlotLease | None:
        """The lease under which a command for *slot* may begin now; None if none."""
        return self._held.get(slot) if now_s < self._until_s else None

    def is_alive(self, now_s: float) -> bool:
        """Whether nobody can have taken this member for dead yet."""
        return now_s < self._until_s

    @property
    def slots(self) -> Collection[int]:
        """The slots whose commands are taken."""
        return self._held.keys()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held, nor given away just now."""
        return not self._held and not self._leaving

    @property
    def may_bury(self) -> bool:
        """Whether this member has been seeing others long enough to judge them."""
        return self._steady >= STEADY_BEATS

    def seen(self, sight: Sight, *, sent_s: float) -> list[int]:
        """Take in what the heartbeat that was sent at *sent_s* saw.

        Returns the slots that turned out to be held no more.
        """
        is_steady = sent_s - self._beat_s <= STEADY_GAP_S
        self._steady = self._steady + 1 if is_steady else 1
        self._beat_s = sent_s
        self._until_s = sent_s + LEASE_MS / 1000 - MARGIN_S
        if sight.holdings is self._seen:
            # As a rule: of a thousand leases none has changed hands.
            return []
        self._seen = sight.holdings
        lost = [
            lease.slot
            for leases in (self._held, self._leaving)
            for lease in list(leases.values())
            if not _is_of(lease, self.member, sight)
        ]
        self.drop(lost)
        return lost

    def take(self, leases: Collection[SlotLease]) -> None:
        """Hold what was claimed."""
        for lease in leases:
            self._leaving.pop(lease.slot, None)
            self._held[lease.slot] = lease

    def stop_taking(self, slot: int) -> None:
        """Take no more commands for *slot*."""
        lease = self._held.pop(slot, None)
        if lease is not None:
            self._leaving[slot] = lease

    def drop_all(self) -> list[int]:
        """Hold nothing more, as one that is dead; returns the slots that were held."""
        self._until_s = float("-inf")
        lost = [*self._held, *self._leaving]
        self.drop(lost)
        return lost

    def drop(self, slots: Collection[int]) -> None:
        """Hold *slots* no more."""
        for slot in slots:
            self._held.pop(slot, None)
            self._leaving.pop(slot, None)


def _is_of(lease: SlotLease, member: str, sight: Sight) -> bool:
    holding = sight.holdings[lease.slot]
    return holding.member == member and holding.epoch == lease.epoch
