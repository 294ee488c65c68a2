"""The schema of a database that several processes share, changed by one at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, LiteralString

from tremula.infra.db.params import postgres_text
from tremula.infra.db.postgres_session import (
    Connection,
    connect,
    end,
    take_member_lock,
)
from tremula.infra.db.reader import Engine, Row

# "TREMULA2" as a number: the advisory lock of who changes the schema.
_MIGRATING_LOCK: Final = int.from_bytes(b"TREMULA2")


class _Migrating:
    """Implements ``Migratable`` over one session."""

    engine = Engine.POSTGRES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Migratable.all``."""
        text = postgres_text(sql)
        records = await self._connection.fetch(text.sql, *text.bind(params))
        return [tuple(record) for record in records]

    async def run_script(self, script: str) -> None:
        """See ``Migratable.run_script``."""
        async with self._connection.transaction():
            await self._connection.execute(script)


@asynccontextmanager
async def migrating(url: str) -> AsyncIterator[_Migrating]:
    """The database at *url*, whose schema nobody else changes meanwhile.

    Raises:
        DatabaseRefused: it can't be used, or a process without a cluster has it.
        DatabaseUnavailable: it can't be reached now.
    """
    connection = await connect(url, {})
    try:
        await take_member_lock(connection)
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATING_LOCK)
        yield _Migrating(connection)
    finally:
        # It also lets the locks go.
        await end(connection)
