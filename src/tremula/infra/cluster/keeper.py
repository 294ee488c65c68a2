"""Keeps this process a member: heartbeats for as long as it runs."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from tremula.infra.bus import Bus, BusError
from tremula.infra.clock import Clock
from tremula.infra.cluster.in_flight import InFlight
from tremula.infra.cluster.members import (
    HEARTBEAT_S,
    STEP_OUT_S,
    UNREACHABLE_S,
    LeaseTable,
    Load,
    Member,
)
from tremula.infra.cluster.tenure import LeaseEnded, Tenure
from tremula.infra.db import DatabaseError
from tremula.infra.slots import SlotLease, SlotsChanged

log = structlog.get_logger(__name__)

LEAVE_S: Final = 10.0
"""How long a process that ends hands over; what is left then expires."""
_PAUSE_LEAST_S: Final = 0.05
_CHANGED: Final = "leases"


class LeaseKeeper:
    """Says what this member holds, and who holds the rest.

    `run` has to run all the time. Where slots have changed hands, the others are told
    over the bus, so that they need not wait for their next heartbeat.
    """

    def __init__(
        self,
        table: LeaseTable,
        member: str,
        *,
        bus: Bus,
        subject: str,
        clock: Clock,
        in_flight: InFlight,
    ) -> None:
        self._table = table
        self._bus = bus
        self._subject = f"{subject}.{_CHANGED}"
        self._clock = clock
        self._in_flight = in_flight
        self._is_open = False
        self._has_ended = False
        self._hurry = asyncio.Event()
        self._beaten = asyncio.Event()
        self._taken: list[SlotsChanged] = []
        self._gone: list[SlotsChanged] = []
        self._ended: list[Callable[[], None]] = []
        self._changed: list[Callable[[], None]] = []
        self._bus_lost_s = clock.monotonic_s()
        self._tenure = Tenure(
            table,
            member,
            now_s=clock.monotonic_s,
            work=in_flight,
            taken=self._tell_taken,
            gone=self._tell_gone,
        )
        self.handovers = 0
        """How many slots this member has given away or lost."""
        self.lag_s: Callable[[], float] = _none
        """Says how far this member lags (see `Load`); the others are told of it."""
        in_flight.on_idle = self._hurry.set
        bus.on_state(self._note_bus)

    @property
    def member(self) -> str:
        """Who this process is."""
        return self._tenure.holdings.member

    @property
    def slots(self) -> Collection[int]:
        """The slots that are held here."""
        return self._tenure.holdings.slots

    @property
    def members(self) -> tuple[Member, ...]:
        """Who was there when the last heartbeat looked."""
        return self._tenure.members

    @property
    def load(self) -> Load:
        """What the next heartbeat says."""
        return Load(int(self.lag_s() * 1000), self._in_flight.total)

    def lease(self, slot: int) -> SlotLease | None:
        """The lease under which a command for *slot* may begin now; None if none."""
        return self._tenure.holdings.lease(slot, self._clock.monotonic_s())

    def holder(self, slot: int) -> Member | None:
        """Who held *slot* when the last heartbeat looked."""
        return self._tenure.holder(slot)

    @property
    def is_alive(self) -> bool:
        """Whether the others count on this member, as far as it can know."""
        return self._tenure.holdings.is_alive(self._clock.monotonic_s())

    def on_taken(self, callback: SlotsChanged) -> None:
        """Call *callback* with the slots that are held here from now on."""
        self._taken.append(callback)

    def on_gone(self, callback: SlotsChanged) -> None:
        """Call *callback* with the slots that are held here no more."""
        self._gone.append(callback)

    def on_members(self, callback: Callable[[], None]) -> None:
        """Call *callback* when members have come or gone."""
        self._changed.append(callback)

    def on_ended(self, callback: Callable[[], None]) -> None:
        """Call *callback* once the others took this process for dead, or have each
        other while it has not: it can store nothing more, and has to begin anew.

        At once if that has happened before: while a busy machine builds a server.
        """
        self._ended.append(callback)
        if self._has_ended:
            callback()

    async def open(self) -> None:
        """Hold slots from now on; until then this is a member that does nothing."""
        await self._bus.subscribe(self._subject, lambda _: self._hurry.set())
        self._is_open = True
        self._hurry.set()

    async def run(self) -> None:
        """Hold what is to be held, until this member is none any more."""
        while True:
            try:
                await self._beat()
            except LeaseEnded as error:
                log.critical("cluster_lease_ended", reason=str(error))
                self._has_ended = True
                for ended in self._ended:
                    ended()
                return
            except DatabaseError as error:
                log.warning("cluster_heartbeat_failed", reason=str(error))
            await self._pause()

    async def look_again(self, timeout_s: float) -> None:
        """Wait for the next heartbeat, which comes at once, but at most *timeout_s*."""
        self._hurry.set()
        self._beaten.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._beaten.wait()
        except TimeoutError:
            # The caller's own deadline says what follows.
            return

    async def leave(self) -> None:
        """Hand over everything; returns when nothing is held, or after `LEAVE_S`.

        `run` must run meanwhile.
        """
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._table.announce_leaving(self.member)
                while not self._tenure.holdings.is_empty:
                    await self.look_again(HEARTBEAT_S)
        except (DatabaseError, TimeoutError) as error:
            log.warning("cluster_leaving_failed", reason=str(error))

    async def withdraw(self) -> None:
        """Be no member any more, after `run` and all writing have ended."""
        try:
            await self._table.withdraw(self.member)
        except DatabaseError as error:
            # The others notice when the lease ends.
            log.warning("cluster_leaving_failed", reason=str(error))

    async def _beat(self) -> None:
        self._hurry.clear()
        is_reachable = self._is_open and self._without_bus_s() < UNREACHABLE_S
        before = {each.id for each in self.members}
        await self._tenure.look(is_reachable=is_reachable, load=self.load)
        if before != {each.id for each in self.members}:
            for callback in self._changed:
                callback()
        if self._without_bus_s() >= STEP_OUT_S and self._have_each_other():
            await self._tenure.step_out()
        changed = self._is_open and await self._tenure.act()
        self._beaten.set()
        if changed:
            try:
                await self._bus.publish(self._subject, b"")
            except BusError as error:
                log.info("cluster_change_not_told", reason=str(error))

    async def _pause(self) -> None:
        # Those who hurry are many when a member has crashed.
        await asyncio.sleep(_PAUSE_LEAST_S)
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._hurry.wait()
        except TimeoutError:
            # It is time for the next one.
            return

    def _without_bus_s(self) -> float:
        if self._bus.is_connected:
            return 0
        return self._clock.monotonic_s() - self._bus_lost_s

    def _have_each_other(self) -> bool:
        return any(
            each.is_reachable and not each.is_late and each.id != self.member
            for each in self.members
        )

    def _note_bus(self, is_connected: bool) -> None:
        if not is_connected:
            self._bus_lost_s = self._clock.monotonic_s()
        self._hurry.set()

    def _tell_taken(self, slots: Collection[int]) -> None:
        for callback in self._taken:
            callback(slots)

    def _tell_gone(self, slots: Collection[int]) -> None:
        self.handovers += len(slots)
        for callback in self._gone:
            callback(slots)


def _none() -> float:
    """Until somebody knows better."""
    return 0
