"""Looks at a database without opening it: also while a server has it."""

import asyncio
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.errors import DatabaseRefused
from tremula.infra.db.migrations import all_migrations
from tremula.infra.db.postgres_readers import PostgresReaders

_BUSY_MS: Final = 5_000
_MIGRATIONS: Final = "SELECT number FROM infra_migrations ORDER BY number"
_SERVER_NAME: Final = "SELECT server_name FROM infra_server WHERE id = 1"


@dataclass(frozen=True, slots=True)
class Condition:
    """The engine with its version, and of whom and how old what it holds is.

    ``server_name`` is None while the database is empty.
    """

    engine: str
    server_name: str | None = None
    migrations: tuple[int, ...] = ()

    @property
    def unknown_migrations(self) -> set[int]:
        """Those that only a newer program knows."""
        return set(self.migrations) - _known_migrations()

    @property
    def pending_migrations(self) -> set[int]:
        """Those that the next start makes up for."""
        return _known_migrations() - set(self.migrations)


async def inspect_database(source: SqliteFile | PostgresUrl) -> Condition:
    """What there is; nothing is written or locked. An SQLite file need not exist.

    Raises:
        DatabaseRefused: it can't be read.
        DatabaseUnavailable: it can't be reached.
    """
    match source:
        case SqliteFile(path):
            return await asyncio.to_thread(_inspect_sqlite, path)
        case PostgresUrl(url):
            return await _inspect_postgres(url)


def _inspect_sqlite(path: Path) -> Condition:
    engine = f"SQLite {apsw.sqlite_lib_version()}"
    if not path.exists():
        return Condition(engine)
    try:
        with closing(
            apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        ) as connection:
            connection.set_busy_timeout(_BUSY_MS)
            if not connection.table_exists(None, "infra_server"):
                return Condition(engine)
            return Condition(
                engine,
                connection.execute(_SERVER_NAME).get,
                tuple(number for (number,) in connection.execute(_MIGRATIONS)),
            )
    except apsw.Error as error:
        raise DatabaseRefused(f"can't read {path}: {error}") from error


async def _inspect_postgres(url: str) -> Condition:
    readers = PostgresReaders(url)
    try:
        async with readers.connection() as connection:
            version = await connection.fetchval("SHOW server_version")
            engine = f"PostgreSQL {version}"
            if await connection.fetchval("SELECT to_regclass('infra_server')") is None:
                return Condition(engine)
            return Condition(
                engine,
                await connection.fetchval(_SERVER_NAME),
                tuple(row[0] for row in await connection.fetch(_MIGRATIONS)),
            )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseRefused(f"PostgreSQL refuses: {error}") from error
    finally:
        await readers.close()


def _known_migrations() -> set[int]:
    return {migration.number for migration in all_migrations()}
