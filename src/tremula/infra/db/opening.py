"""Opens a database: the engine, the schema, the owner."""

from typing import Protocol

from prometheus_client import CollectorRegistry

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copy_marker import check_finished
from tremula.infra.db.database import Database, MemberDatabase
from tremula.infra.db.fencing import WriterLease
from tremula.infra.db.migrations import (
    Migratable,
    Migration,
    all_migrations,
    migrate,
)


class _MigratableDatabase(Database, Migratable, Protocol):
    """What both engines are while they are opened."""


async def migrate_together(source: PostgresUrl) -> None:
    """Bring the schema up to date where other members of a cluster may be at it.

    Raises:
        CopyUnfinished: it is a copy that is not complete.
        DatabaseRefused: it can't be used, or not as it is, or a process without a
            cluster has it.
        DatabaseUnavailable: it can't be reached now.
    """
    from tremula.infra.db.postgres_migrating import migrating  # noqa: PLC0415

    async with migrating(source.url) as db:
        await check_finished(db)
        await migrate(db, all_migrations())


async def open_member_database(
    source: PostgresUrl,
    lease: WriterLease,
    *,
    registry: CollectorRegistry | None = None,
) -> MemberDatabase:
    """Open *source*, migrated before, for a member of a cluster.

    Raises:
        DatabaseRefused: it can't be opened; the message is for the operator.
        WriterLost: *lease* has ended.
    """
    from tremula.infra.db.postgres import PostgresDatabase  # noqa: PLC0415

    return await PostgresDatabase.open(source.url, registry, lease)


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
