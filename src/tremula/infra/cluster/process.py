"""One process of several: joins the cluster, and the one order of their journals."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.cluster.joining import Machinery, Membership, joined
from tremula.infra.cluster.leases_storage import is_member
from tremula.infra.config import Cluster, PostgresUrl
from tremula.infra.db import Database
from tremula.infra.journal import Journal
from tremula.infra.metrics import Metrics
from tremula.infra.other_writers import not_now
from tremula.infra.pace import Pace
from tremula.infra.positions import Positions, reserved_pos_of
from tremula.infra.process import Process, ProcessEnded
from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.link import ReplicationLink
from tremula.infra.replication.messages import Topics
from tremula.infra.replication.replica import Replica
from tremula.infra.slots import Slots
from tremula.infra.supervisor import Supervisor

WRITERS: Final = 1_024
"""Of so many positions each process takes one (see ``Positions``)."""
_PATIENCE_S: Final = 5.0
"""How long requests wait for a bus that was lost."""


class OneOfSeveral:
    """Implements ``Process`` for a member of a cluster."""

    def __init__(
        self,
        membership: Membership,
        journal: Journal,
        replica: Replica,
        link: ReplicationLink,
        supervisor: Supervisor,
    ) -> None:
        self._membership = membership
        self._journal = journal
        self._replica = replica
        self._link = link
        self._supervisor = supervisor
        self._connected = asyncio.Event()
        self._has_begun = False
        self._joining: asyncio.Timeout | None = None
        self.ended = asyncio.Event()
        if membership.bus.is_connected:
            self._connected.set()
        membership.bus.on_state(self._note_bus)
        membership.keeper.on_ended(self._end)
        membership.keeper.on_members(link.hurry)

    @property
    def database(self) -> Database:
        """See ``Process.database``; it fences what this process writes."""
        return self._membership.database

    @property
    def journal(self) -> Journal:
        """See ``Process.journal``."""
        return self._journal

    @property
    def slots(self) -> Slots:
        """See ``Process.slots``."""
        return self._membership.slots

    @property
    def is_ready(self) -> bool:
        """Whether the database, the bus and the others can be reached."""
        return (
            self._has_begun
            and self._connected.is_set()
            and self._membership.keeper.is_alive
        )

    async def begin(self) -> None:
        """See ``Process.begin``. Then the journal shows everything from before."""
        membership = self._membership
        try:
            limit_s = 0 if self.ended.is_set() else None
            async with asyncio.timeout(limit_s) as self._joining:
                while not membership.keeper.is_alive:
                    # Who else is there, only the database tells.
                    await membership.keeper.look_again(_PATIENCE_S)
                await self._link.join(self._replica, membership.writer)
        except TimeoutError as error:
            raise ProcessEnded("this process could not join the others") from error
        self._joining = None
        # What the services have read while they were built may be out of date by now.
        self._journal.forget(self._journal.position)
        self._supervisor.keep_running("replication_watch", self._watch)
        await membership.slots.open()
        self._has_begun = True

    async def catch_up(self, *, writes: bool) -> None:
        """See ``Process.catch_up``. A few comparisons if nothing is under way."""
        if writes and not self._connected.is_set():
            await self._bus_is_back()
        keeper = self._membership.keeper
        if not keeper.is_alive and not self.ended.is_set():
            # It stood still; with the next heartbeat it may be alive again.
            await keeper.look_again(_PATIENCE_S)
        if not keeper.is_alive:
            # What the others acknowledge from now on may never be heard of here.
            raise not_now()
        if not self._replica.is_settled():
            await self._journal.settled()

    async def leave(self) -> None:
        """See ``Process.leave``."""
        self._has_begun = False
        if not self.ended.is_set():
            await self._membership.keeper.leave()

    async def say_bye(self) -> None:
        """Go, after all writing has ended: nobody need count this process out."""
        if self._connected.is_set() and not self.ended.is_set():
            await self._link.leave(self._replica)

    async def _watch(self) -> None:
        await self._link.watch(self._replica)

    async def _bus_is_back(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._connected.wait()
        except TimeoutError as error:
            raise not_now() from error

    def _note_bus(self, is_connected: bool) -> None:
        if is_connected:
            self._connected.set()
        else:
            self._connected.clear()
            loop = asyncio.get_running_loop()
            loop.call_later(_PATIENCE_S, self._stop_waiting)

    def _stop_waiting(self) -> None:
        if not self._connected.is_set():
            self._journal.give_up()

    def _end(self) -> None:
        self.ended.set()
        if self._joining is not None:
            self._joining.reschedule(asyncio.get_running_loop().time())
        self._journal.give_up()


class _Writers(Struct, frozen=True):
    membership: Membership

    def writers(self) -> Collection[int]:
        return self.membership.writers()

    async def is_there(self, writer: int) -> bool:
        return await is_member(self.membership.database, writer)

    async def last_pos(self, writer: int) -> int:
        return await reserved_pos_of(self.membership.database, writer)


@asynccontextmanager
async def one_of_several(
    source: PostgresUrl,
    cluster: Cluster,
    server_name: str,
    *,
    topics: Topics,
    clock: Clock,
    metrics: Metrics,
) -> AsyncIterator[Process]:
    """A process of a cluster; *topics* are all that its services announce.

    Raises:
        DatabaseRefused: the database can't be used, or not as it is.
        DatabaseUnavailable: it can't be reached now.
    """
    supervisor = Supervisor(metrics)
    machinery = Machinery(supervisor, clock, metrics)
    try:
        async with joined(source, cluster, server_name, machinery) as membership:
            try:
                process = await _open(membership, topics, machinery)
                yield process
                await process.say_bye()
            finally:
                await supervisor.stop()
    finally:
        await supervisor.stop()


async def _open(
    membership: Membership, topics: Topics, machinery: Machinery
) -> OneOfSeveral:
    database, writer = membership.database, membership.writer
    supervisor = machinery.supervisor
    link = ReplicationLink(membership.bus, membership.subject, _Writers(membership))
    agenda = Agenda(machinery.clock.monotonic_s)
    membership.keeper.lag_s = agenda.lag_s
    replica = Replica(
        writer=writer,
        incarnation=membership.incarnation,
        topics=topics,
        send=link.send,
        soon=Pace(asyncio.get_running_loop()),
        agenda=agenda,
        is_counted_on=lambda: membership.keeper.is_alive,
    )
    positions = await Positions.open(database, writer=writer, writers=WRITERS)
    journal = Journal(database, positions, replica)
    # What waits with a position would hold back all that is stored anywhere.
    membership.slots.turn = database.turn
    replica.hurry = database.hurry
    supervisor.keep_running("replication", link.carry)
    return OneOfSeveral(membership, journal, replica, link, supervisor)
