"""Looks at a database without opening it: also while a server has it."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw
import asyncpg  # type: ignore[import-untyped]  # it ships no types
from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copy_marker import MARKER_TABLE
from tremula.infra.db.errors import DatabaseRefused
from tremula.infra.db.migrations import all_migrations
from tremula.infra.db.postgres_readers import PostgresReaders

_BUSY_MS: Final = 5_000
_MIGRATIONS: Final = "SELECT number FROM infra_migrations ORDER BY number"
_EXISTS: Final = "SELECT to_regclass($1) IS NOT NULL"
# A cluster of databases is known by the microsecond in which it was started.
_IDENTITY: Final = """
    SELECT current_database() || ' since ' || pg_postmaster_start_time()
"""
_SERVER_NAME: Final = "SELECT server_name FROM infra_server WHERE id = 1"


class Condition(Struct, frozen=True):
    """The engine with its version, and of whom and how old what it holds is.

    ``identity`` tells it from every other database, however it is reached;
    ``server_name`` is None while it is empty.
    """

    engine: str
    identity: str
    is_unfinished_copy: bool = False
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
    found = Condition(f"SQLite {apsw.sqlite_lib_version()}", str(path.resolve()))
    if not path.exists():
        return found
    try:
        with closing(
            apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        ) as connection:
            connection.set_busy_timeout(_BUSY_MS)
            if connection.table_exists(None, MARKER_TABLE):
                return replace(found, is_unfinished_copy=True)
            if not connection.table_exists(None, "infra_server"):
                return found
            return replace(
                found,
                server_name=connection.execute(_SERVER_NAME).get,
                migrations=tuple(row[0] for row in connection.execute(_MIGRATIONS)),
            )
    except apsw.Error as error:
        raise DatabaseRefused(f"can't read {path}: {error}") from error


async def _inspect_postgres(url: str) -> Condition:
    readers = PostgresReaders(url)
    try:
        async with readers.connection() as connection:
            version = await connection.fetchval("SHOW server_version")
            identity = await connection.fetchval(_IDENTITY)
            found = Condition(f"PostgreSQL {version}", identity)
            if await connection.fetchval(_EXISTS, MARKER_TABLE):
                return replace(found, is_unfinished_copy=True)
            if not await connection.fetchval(_EXISTS, "infra_server"):
                return found
            return replace(
                found,
                server_name=await connection.fetchval(_SERVER_NAME),
                migrations=tuple(row[0] for row in await connection.fetch(_MIGRATIONS)),
            )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseRefused(f"PostgreSQL refuses: {error}") from error
    finally:
        await readers.close()


def _known_migrations() -> set[int]:
    return {migration.number for migration in all_migrations()}
