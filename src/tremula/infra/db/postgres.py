"""PostgreSQL: a session that writes, a few that read."""

import asyncio
from typing import Final, LiteralString

from prometheus_client import CollectorRegistry

from tremula.infra.db.database import Settled, commit_through
from tremula.infra.db.errors import (
    DatabaseInUse,
    DatabaseRefused,
    DatabaseUnavailable,
    WriterLost,
)
from tremula.infra.db.fencing import WriterLease
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.postgres_readers import PostgresReaders
from tremula.infra.db.postgres_session import Session, start_session
from tremula.infra.db.postgres_writer import PostgresWriter
from tremula.infra.db.reader import Engine, Row
from tremula.infra.db.unit import Unit

# A predecessor that was killed holds the writer's lock until the server notices.
_LOCK_WAIT_S: Final = 5.0
_LOCK_PAUSE_S: Final = 0.1


class PostgresDatabase:
    """Implements ``MemberDatabase`` over a pool of readers and one writer.

    The writer holds an advisory lock, so that a second process can't write to the same
    database, unless both are members of a cluster. Readers and writer reconnect by
    themselves when the server restarts.
    """

    engine = Engine.POSTGRES

    def __init__(self, readers: PostgresReaders, writer: PostgresWriter) -> None:
        self._readers = readers
        self._writer = writer
        self.turn = writer.turn

    @classmethod
    async def open(
        cls,
        url: str,
        registry: CollectorRegistry | None,
        lease: WriterLease | None = None,
    ) -> "PostgresDatabase":
        """Connect to the database at *url*; *lease* makes it that of a member.

        Raises:
            DatabaseInUse: another process writes to it.
            DatabaseRefused: it can't be reached or used.
        """

        async def connect() -> Session:
            return await start_session(url, lease)

        session = await first_session(url, lease)
        metrics = WriterMetrics.registered(registry)
        writer = PostgresWriter(session, connect, metrics, lease)
        return cls(PostgresReaders(url), writer)

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.all``."""
        return await self._readers.all(sql, **params)

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """See ``Reader.first``."""
        return await self._readers.first(sql, **params)

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.scan``."""
        return await self._readers.scan(sql, **params)

    def submit(self, unit: Unit, settled: Settled) -> None:
        """See ``Database.submit``."""
        self._writer.submit(unit, settled)

    async def commit(self, unit: Unit) -> None:
        """See ``Database.commit``."""
        await commit_through(self.submit, unit)

    def hurry(self) -> None:
        """See ``MemberDatabase.hurry``."""
        self._writer.hurry()

    async def run_script(self, script: str) -> None:
        """See ``Migratable.run_script``."""
        await self._writer.run_script(script)

    async def close(self) -> None:
        """See ``Database.close``."""
        await self._writer.close()
        await self._readers.close()


async def first_session(url: str, lease: WriterLease | None = None) -> Session:
    """Like ``start_session``, for a process that has just begun.

    Raises:
        DatabaseInUse: another process writes to the database.
        DatabaseRefused: it can't be reached or used.
        WriterLost: *lease* has ended.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _LOCK_WAIT_S
    while True:
        try:
            return await start_session(url, lease)
        except DatabaseInUse:
            if loop.time() > deadline_s:
                raise
            await asyncio.sleep(_LOCK_PAUSE_S)
        except WriterLost:
            raise
        except DatabaseUnavailable as error:
            raise DatabaseRefused(str(error)) from error
