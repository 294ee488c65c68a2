"""Members of a cluster that do nothing but tell each other what they have stored.

Their journals, replicas, links and buses are the server's own, and NATS is real; the
database stores at once, and all members are in this process.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.fakes.database import FakeDatabase
from tremula.infra.bus.nats_bus import NatsBus
from tremula.infra.bus.nats_servers import parse_nats_url
from tremula.infra.journal import Journal
from tremula.infra.metrics import Metrics
from tremula.infra.positions import Positions
from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.link import ReplicationLink
from tremula.infra.replication.replica import Replica
from tremula.infra.slots import SLOTS
from tremula.infra.supervisor import Supervisor
from tremula.protocol.identifiers import UserId
from tremula.rooms.staging import EVENT_TOPIC, OwnChange
from tremula.topics import all_topics

_SUBJECT: Final = "tremula.bench"


@dataclass(slots=True)
class _Everybody:
    """Implements ``Writers``: nobody is ever gone."""

    numbers: list[int]

    def writers(self) -> Collection[int]:
        return self.numbers

    async def is_there(self, writer: int) -> bool:
        return writer in self.numbers

    async def last_pos(self, writer: int) -> int:
        raise AssertionError(f"{writer} is gone")


@dataclass(frozen=True, slots=True)
class Member:
    """One of them."""

    database: FakeDatabase
    journal: Journal

    async def store(self, changes: Sequence[OwnChange]) -> None:
        """Store *changes* at once; all members have heard of them at the end."""
        futures = [self._submit(change) for change in changes]
        while self.database.waiting:
            self.database.settle()
        await asyncio.gather(*futures)

    def _submit(self, own: OwnChange) -> asyncio.Future[None]:
        nid = own.change.stored.room_nid
        unit = self.journal.unit()
        unit.announce(
            EVENT_TOPIC,
            nid,
            own,
            pos=unit.pos(),
            size_bytes=own.change.stored.size_bytes,
        )
        unit.wake_rooms((), (nid,))
        return self.journal.commit(unit)


@asynccontextmanager
async def cluster(nats_url: str, size: int) -> AsyncIterator[list[Member]]:
    """So many members over one NATS."""
    everybody = _Everybody([])
    async with AsyncExitStack() as stack:
        members: list[Member] = []
        for writer in range(1, size + 1):
            everybody.numbers.append(writer)
            member = _member(nats_url, writer, everybody)
            members.append(await stack.enter_async_context(member))
        yield members


@asynccontextmanager
async def _member(
    nats_url: str, writer: int, everybody: _Everybody
) -> AsyncIterator[Member]:
    supervisor, database = Supervisor(Metrics()), FakeDatabase()
    bus = NatsBus([parse_nats_url(nats_url)], name=f"member {writer}")
    connected = asyncio.Event()
    bus.on_state(lambda is_connected: connected.set() if is_connected else None)
    link = ReplicationLink(bus, _SUBJECT, everybody)
    replica = Replica(
        writer=writer,
        incarnation=writer,
        topics=all_topics(),
        agenda=Agenda(time.monotonic),
        is_counted_on=lambda: True,
        send=link.send,
        soon=asyncio.get_running_loop().call_soon,
    )
    positions = Positions(database, start=0, writer=writer, writers=SLOTS)
    journal = Journal(database, positions, replica)
    journal.set_audience(_nobody)
    supervisor.keep_running("bus", bus.run)
    supervisor.keep_running("link", link.carry)
    try:
        await connected.wait()
        await link.join(replica, writer)
        yield Member(database, journal)
    finally:
        await supervisor.stop()


def _nobody(_rooms: object) -> frozenset[UserId]:
    return frozenset()
