"""What a copy needs of a database, whichever engine it is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copying.table import ColumnInfo, Table
from tremula.infra.db.migrations import Migratable
from tremula.infra.db.reader import Row


class Source(Protocol):
    """A database that no other process has, to be read."""

    async def columns(self) -> list[ColumnInfo]:
        """The columns of all tables, by table, as they stand in it."""
        ...

    async def count(self, table: Table) -> int:
        """How many rows there are."""
        ...

    async def page(self, table: Table, after: Row | None) -> list[Row]:
        """The next ``PAGE_ROWS`` rows past the key *after*."""
        ...

    async def counters(self) -> Mapping[str, int]:
        """The last number that each table's own counter gave, where it has one."""
        ...


class Target(Source, Migratable, Protocol):
    """A database that no other process has, to be written."""

    async def all(self, sql: str, /) -> list[Row]:
        """Rows of a short look-up."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Store what is done meanwhile, whole or not at all."""
        ...

    async def last_key(self, table: Table) -> Row | None:
        """The greatest key of a row; None while the table is empty."""
        ...

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Add *rows*.

        Raises:
            Conflict: a constraint refuses them.
            DatabaseRefused: a value can't be stored.
        """
        ...

    async def empty(self, tables: Sequence[Table]) -> None:
        """Delete all rows of *tables*."""
        ...

    async def set_counters(self, counters: Mapping[str, int]) -> None:
        """Let the tables' counters go on after what is stored and after *counters*."""
        ...

    async def settle(self) -> None:
        """Make it ready for use, once all rows are there."""
        ...


@asynccontextmanager
async def open_store(database: SqliteFile | PostgresUrl) -> AsyncIterator[Target]:
    """Open *database* for this process alone.

    Raises:
        DatabaseInUse: another process has it.
        DatabaseRefused: it can't be opened or used.
        DatabaseUnavailable: it can't be reached any more.
    """
    match database:
        case SqliteFile(path):
            from tremula.infra.db.copying.sqlite_store import sqlite_store  # noqa: PLC0415 - only the engine that is used

            async with sqlite_store(path) as store:
                yield store
        case PostgresUrl(url):
            from tremula.infra.db.copying.postgres_store import postgres_store  # noqa: PLC0415

            async with postgres_store(url) as store:
                yield store
