"""PostgreSQL: a session that writes, a few that read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, LiteralString, cast

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from prometheus_client import CollectorRegistry

from tremula.infra.db.database import Settled, commit_through
from tremula.infra.db.errors import (
    DatabaseInUse,
    DatabaseRefused,
    DatabaseUnavailable,
)
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.params import postgres_text
from tremula.infra.db.postgres_errors import SERVER_GONE, translated
from tremula.infra.db.postgres_session import (
    CONNECT_TIMEOUT_S,
    CONNECTION_OPTIONS,
    SESSION_SETTINGS,
    Connection,
    Session,
    start_session,
)
from tremula.infra.db.postgres_writer import PostgresWriter
from tremula.infra.db.reader import Engine, Row
from tremula.infra.db.unit import Unit

_READERS_MAX: Final = 8
_READER_SETTINGS: Final = {"default_transaction_read_only": "on"}
# A predecessor that was killed holds the writer's lock until the server notices.
_LOCK_WAIT_S: Final = 5.0
_LOCK_PAUSE_S: Final = 0.1


class PostgresDatabase:
    """Implements ``Database`` over a pool of readers and one writer.

    The writer holds an advisory lock, so that a second process can't write to the same
    database. Both reconnect by themselves when the server restarts.
    """

    engine = Engine.POSTGRES

    def __init__(self, pool: asyncpg.Pool, writer: PostgresWriter) -> None:
        self._pool = pool
        self._writer = writer

    @classmethod
    async def open(
        cls, url: str, registry: CollectorRegistry | None
    ) -> "PostgresDatabase":
        """Connect to the database at *url*.

        Raises:
            DatabaseInUse: another process writes to it.
            DatabaseRefused: it can't be reached or used.
        """

        async def connect() -> Session:
            return await start_session(url)

        session = await _first_session(url)
        writer = PostgresWriter(session, connect, WriterMetrics.registered(registry))
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=_READERS_MAX,
            # Sessions that only read have nothing to reset; it would cost a round trip.
            reset=_keep,
            server_settings=SESSION_SETTINGS | _READER_SETTINGS,
            **CONNECTION_OPTIONS,
        )
        return cls(pool, writer)

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.all``."""
        text = postgres_text(sql)
        async with self._reader() as connection:
            records = await connection.fetch(text.sql, *text.bind(params))
        return [tuple(record) for record in records]

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """See ``Reader.first``."""
        text = postgres_text(sql)
        async with self._reader() as connection:
            record = await connection.fetchrow(text.sql, *text.bind(params))
        return None if record is None else tuple(record)

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.scan``."""
        return await self.all(sql, **params)

    def submit(self, unit: Unit, settled: Settled) -> None:
        """See ``Database.submit``."""
        self._writer.submit(unit, settled)

    async def commit(self, unit: Unit) -> None:
        """See ``Database.commit``."""
        await commit_through(self.submit, unit)

    async def run_script(self, script: str) -> None:
        """See ``Migratable.run_script``."""
        await self._writer.run_script(script)

    async def close(self) -> None:
        """See ``Database.close``."""
        await self._writer.close()
        with contextlib.suppress(*SERVER_GONE, asyncpg.InterfaceError):
            await asyncio.wait_for(self._pool.close(), CONNECT_TIMEOUT_S)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire() as connection:
                yield cast("Connection", connection)
        except Exception as error:
            known = translated(error)
            if known is error:
                raise
            raise known from error


async def _first_session(url: str) -> Session:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _LOCK_WAIT_S
    while True:
        try:
            return await start_session(url)
        except DatabaseInUse:
            if loop.time() > deadline_s:
                raise
            await asyncio.sleep(_LOCK_PAUSE_S)
        except DatabaseUnavailable as error:
            raise DatabaseRefused(str(error)) from error


async def _keep(_: object) -> None:
    """Leave the connection as it is."""
