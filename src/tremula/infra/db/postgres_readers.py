"""The sessions that read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.db.errors import DatabaseUnavailable
from tremula.infra.db.postgres_errors import translated
from tremula.infra.db.postgres_session import (
    CONNECTION_OPTIONS,
    SESSION_SETTINGS,
    Connection,
    end,
)

_READERS_MAX: Final = 8
_READER_SETTINGS: Final = {"default_transaction_read_only": "on"}


class PostgresReaders:
    """A few read-only connections, made when needed, replaced when broken.

    ``asyncpg.Pool`` would cost 25 µs CPU more a query than these 2: as much as the
    query itself.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._places = asyncio.Semaphore(_READERS_MAX)
        self._idle: list[Connection] = []
        self._is_closed = False

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
