"""Opens a database: the engine, the schema, the owner."""

from typing import Protocol

from prometheus_client import CollectorRegistry

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copy_marker import check_finished
from tremula.infra.db.database import Database
from tremula.infra.db.migrations import (
    Migratable,
    Migration,
    all_migrations,
    migrate,
)


class _MigratableDatabase(Database, Migratable, Protocol):
    """What both engines are while they are opened."""


async def open_database(
    source: SqliteFile | PostgresUrl,
    *,
    registry: CollectorRegistry | None = None,
    migrations: list[Migration] | None = None,
) -> Database:
    """Open *source* for this process alone, with the schema of this program.

    The running event loop is the one that the database belongs to. Counters go to
    *registry*; *migrations* are those of the program, unless a test has its own.

    Raises:
        CopyUnfinished: it is a copy that is not complete.
        DatabaseRefused: it can't be opened, or not as it is; the message is for the
            operator.
    """
    # Only the driver that is used is loaded: the other would cost 20 ms of the start.
    db: _MigratableDatabase
    match source:
        case SqliteFile(path):
            from tremula.infra.db.sqlite import SqliteDatabase  # noqa: PLC0415

            db = SqliteDatabase.open(path, registry)
        case PostgresUrl(url):
            from tremula.infra.db.postgres import PostgresDatabase  # noqa: PLC0415

            db = await PostgresDatabase.open(url, registry)
    try:
        await check_finished(db)
        await migrate(db, all_migrations() if migrations is None else migrations)
    except BaseException:
        await db.close()
        raise
    return db
