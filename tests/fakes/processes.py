"""Two processes of one server in this one: each has its journal, told in one order."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.infra.db.members import Leases, member
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import Database, open_database
from tremula.infra.journal import Journal
from tremula.infra.positions import Positions
from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.replica import Replica
from tremula.topics import all_topics

_WRITERS = 1_024
_TURNS = 4


@dataclass(frozen=True, slots=True)
class Process:
    """What one process has of the server. On PostgreSQL it writes by itself."""

    database: Database
    journal: Journal
    replica: Replica


async def rest(*processes: Process) -> None:
    """All that was announced is known everywhere."""
    for _ in range(_TURNS):
        for each in processes:
            each.replica.beat()
        await asyncio.sleep(0)


class _Wire:
    """Brings what one replica sends to the others, at the next turn of the loop."""

    def __init__(self) -> None:
        self._replicas: list[Replica] = []

    async def process(self, database: Database, writer: int) -> Process:
        """A process that has not joined yet."""
        loop = asyncio.get_running_loop()
        replica = Replica(
            writer=writer,
            incarnation=1,
            topics=all_topics(),
            send=self._send,
            soon=loop.call_soon,
            agenda=Agenda(loop.time),
            is_counted_on=lambda: True,
        )
        self._replicas.append(replica)
        positions = await Positions.open(database, writer=writer, writers=_WRITERS)
        return Process(database, Journal(database, positions, replica), replica)

    async def join(self) -> None:
        """Everybody counts everybody in."""
        for replica in self._replicas:
            replica.hello()
        # There, and back again.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for replica in self._replicas:
            replica.settle_in()
        for replica in self._replicas:
            await replica.settled()

    def _send(self, packed: bytes) -> None:
        # Each drops what it has sent itself.
        for replica in self._replicas:
            asyncio.get_running_loop().call_soon(replica.receive, packed)


@asynccontextmanager
async def two_processes(
    source: PostgresUrl | SqliteFile,
) -> AsyncGenerator[tuple[Process, Process]]:
    """Both at the database *source*, which has all migrations."""
    async with AsyncExitStack() as stack:
        wire = _Wire()
        if isinstance(source, PostgresUrl):
            leases = Leases(source)
            databases = [
                await stack.enter_async_context(
                    member(source, await leases.number(writer))
                )
                for writer in (1, 2)
            ]
        else:
            # One writer: what races is only what was read before.
            database = await open_database(source)
            stack.push_async_callback(database.close)
            databases = [database, database]
        processes = [
            await wire.process(database, writer)
            for writer, database in enumerate(databases, start=1)
        ]
        await wire.join()
        one, other = processes
        yield one, other
