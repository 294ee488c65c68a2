"""One member's life: heartbeat, look, act. It awaits nothing but the table."""

from collections.abc import Callable, Collection
from typing import NoReturn, Protocol

from tremula.infra.cluster.assignment import steps
from tremula.infra.cluster.holdings import Holdings
from tremula.infra.cluster.members import NO_LOAD, LeaseTable, Load, Member, Sight
from tremula.infra.slots import SlotLease, SlotsChanged


class LeaseEnded(Exception):
    """Others took this member for dead: it has to begin anew, as another."""


class Work(Protocol):
    """The commands under way."""

    def is_idle(self, slot: int) -> bool:
        """Whether there are none for *slot*, or they may be left to themselves."""
        ...


class Tenure:
    """Holds slots for *member*, from its joining to its end."""

    __slots__ = ("_gone", "_now_s", "_sight", "_table", "_taken", "_work", "holdings")

    def __init__(
        self,
        table: LeaseTable,
        member: str,
        *,
        now_s: Callable[[], float],
        work: Work,
        taken: SlotsChanged,
        gone: SlotsChanged,
    ) -> None:
        self._table = table
        self._now_s = now_s
        self._work = work
        self._taken = taken
        self._gone = gone
        self._sight = Sight((), ())
        self.holdings = Holdings(member)

    def lease(self, slot: int) -> SlotLease | None:
        """The lease under which a command for *slot* may begin now; None if none."""
        return self.holdings.lease(slot, self._now_s())

    def holder(self, slot: int) -> Member | None:
        """Who held *slot* when the last heartbeat looked."""
        if not self._sight.holdings:
            return None
        holder = self._sight.holdings[slot].member
        return next((each for each in self.members if each.id == holder), None)

    @property
    def members(self) -> tuple[Member, ...]:
        """Who was there when the last heartbeat looked."""
        return self._sight.members

    async def look(self, *, is_reachable: bool, load: Load = NO_LOAD) -> None:
        """Do one heartbeat, and see who is there and who holds what.

        Raises:
            DatabaseUnavailable: it failed; the lease goes on running out.
            LeaseEnded: this member is none any more.
        """
        me = self.holdings.member
        sent_s = self._now_s()
        sight = await self._table.beat(me, is_reachable=is_reachable, load=load)
        if sight is None:
            self._end(f"{me} is no member any more")
        self._sight = sight
        if lost := self.holdings.seen(sight, sent_s=sent_s):
            self._gone(lost)

    async def step_out(self) -> None:
        """Be no member any more: the others have each other, and wait for this one.

        Raises:
            DatabaseUnavailable: it failed; the lease goes on running out.
            LeaseEnded: always, else.
        """
        me = self.holdings.member
        await self._table.withdraw(me)
        self._end(f"{me} could not reach the others")

    async def act(self) -> bool:
        """Take and give the slots that the last look calls for; whether any.

        Raises:
            DatabaseUnavailable: some of it was not done, as far as is known.
        """
        holdings, me = self.holdings, self.holdings.member
        todo = steps(me, self._sight, holdings.slots, may_bury=holdings.may_bury)
        if todo.bury:
            await self._table.bury(todo.bury)
        claimed: list[SlotLease] = []
        if todo.claim:
            claimed = await self._table.claim(me, todo.claim)
            holdings.take(claimed)
            self._taken([lease.slot for lease in claimed])
        given = await self._give(todo.give)
        return given or bool(claimed)

    def _end(self, reason: str) -> NoReturn:
        if lost := self.holdings.drop_all():
            self._gone(lost)
        raise LeaseEnded(reason)

    async def _give(self, leases: Collection[SlotLease]) -> bool:
        """Let go of those of *leases* that nothing is being done under."""
        for lease in leases:
            self.holdings.stop_taking(lease.slot)
        idle = [lease for lease in leases if self._work.is_idle(lease.slot)]
        if idle:
            await self._table.release(idle)
            slots = [lease.slot for lease in idle]
            self.holdings.drop(slots)
            self._gone(slots)
        return bool(idle)
