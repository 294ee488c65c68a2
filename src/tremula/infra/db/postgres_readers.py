"""The sessions that read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, LiteralString

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.db.errors import DatabaseUnavailable
from tremula.infra.db.params import postgres_text
from tremula.infra.db.postgres_errors import translated
from tremula.infra.db.postgres_session import (
    CONNECTION_OPTIONS,
    SESSION_SETTINGS,
    Connection,
    end,
)
from tremula.infra.db.reader import Engine, Row

_READERS_MAX: Final = 8
_READER_SETTINGS: Final = {"default_transaction_read_only": "on"}


class PostgresReaders:
    """Implements ``Reader``: connections made when needed, replaced when broken.

    ``asyncpg.Pool`` would cost 25 µs CPU more a query than these 2: as much as the
    query itself.
    """

    engine = Engine.POSTGRES

    def __init__(self, url: str) -> None:
        self._url = url
        self._places = asyncio.Semaphore(_READERS_MAX)
        self._idle: list[Connection] = []
        self._is_closed = False

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.all``."""
        text = postgres_text(sql)
        async with self.connection() as connection:
            records = await connection.fetch(text.sql, *text.bind(params))
        return [tuple(record) for record in records]

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """See ``Reader.first``."""
        text = postgres_text(sql)
        async with self.connection() as connection:
            record = await connection.fetchrow(text.sql, *text.bind(params))
        return None if record is None else tuple(record)

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.scan``."""
        return await self.all(sql, **params)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one query.

        Raises:
            DatabaseUnavailable: PostgreSQL can't be reached.
            InvalidValue: it refused a parameter.
        """
        async with self._places:
            if self._is_closed:
                raise DatabaseUnavailable("the database is closed")
            try:
                connection = self._take_idle() or await self._connect()
                try:
                    yield connection
                finally:
                    if not connection.is_closed():
                        self._idle.append(connection)
            except Exception as error:
                known = translated(error)
                if known is error:
                    raise
                raise known from error

    async def close(self) -> None:
        """End the sessions, when each has finished its query."""
        self._is_closed = True
        for _ in range(_READERS_MAX):
            await self._places.acquire()
        for _ in range(_READERS_MAX):
            self._places.release()
        while self._idle:
            await end(self._idle.pop())

    def _take_idle(self) -> Connection | None:
        # The one used last comes first: its statements are prepared.
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _connect(self) -> Connection:
        connection: Connection = await asyncpg.connect(
            self._url,
            server_settings=SESSION_SETTINGS | _READER_SETTINGS,
            **CONNECTION_OPTIONS,
        )
        return connection
