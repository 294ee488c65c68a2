"""Before the first row: whether two databases fit together, and the schema."""

from collections.abc import Sequence
from typing import Final

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copy_marker import (
    MARKER_TABLE,
    find_copied_server,
    is_emptied,
    mark,
    mark_emptied,
)
from tremula.infra.db.copying.store import Source, Target
from tremula.infra.db.copying.table import Table, tables_of
from tremula.infra.db.errors import CopyRefused, DatabaseTooNew
from tremula.infra.db.inspection import inspect_database
from tremula.infra.db.migrations import MIGRATIONS_TABLE, Migration, migrate

# They speak of the database itself; the target has its own.
_NOT_COPIED: Final = {MARKER_TABLE, MIGRATIONS_TABLE}


async def check_databases(
    source: SqliteFile | PostgresUrl,
    target: SqliteFile | PostgresUrl,
    migrations: Sequence[Migration],
) -> str:
    """See that *source* can be copied to *target*; returns whose database it is.

    Raises:
        CopyRefused: they are the same, or the source is not ready.
        DatabaseTooNew: a newer program has changed the source.
    """
    found = await inspect_database(source)
    if found.identity == (await inspect_database(target)).identity:
        raise CopyRefused("the source and the target are the same database")
    if found.is_unfinished_copy:
        raise CopyRefused("the source is an unfinished copy itself")
    if found.server_name is None:
        raise CopyRefused("the source is empty: no server has been started on it")
    known = {migration.number for migration in migrations}
    if set(found.migrations) - known:
        raise DatabaseTooNew(
            "a newer Tremula has changed the source; copy it with that"
        )
    if known - set(found.migrations):
        raise CopyRefused(
            "the source is of an older version; start the server of this version on it"
            " once, then stop it"
        )
    return found.server_name


async def prepare_target(
    source: Source, target: Target, server_name: str, migrations: list[Migration]
) -> list[Table]:
    """Make *target* an empty copy, unless it is one; returns the tables to copy.

    Raises:
        CopyRefused: it holds something else, or the tables can't be copied.
        DatabaseTooNew: a newer program has changed the target.
    """
    await _claim(target, server_name)
    await migrate(target, migrations)
    tables = await _tables_of(target)
    if tables != await _tables_of(source):
        raise CopyRefused("the two databases have different tables")
    if not await is_emptied(target):
        async with target.transaction():
            await target.empty(tables)
            await mark_emptied(target)
    return tables


async def _claim(target: Target, server_name: str) -> None:
    """Mark *target* as a copy before anything else is written to it."""
    copied = await find_copied_server(target)
    if copied == server_name:
        return
    if copied is not None:
        raise CopyRefused(f"the target is an unfinished copy of the server {copied}")
    tables = {column.table for column in await target.columns()}
    if tables and MIGRATIONS_TABLE not in tables:
        raise CopyRefused("the target holds tables that are not Tremula's")
    if "infra_server" in tables:
        owners = await target.all("SELECT server_name FROM infra_server")
        if owners:
            raise CopyRefused(f"the target holds the server {owners[0][0]} already")
    await mark(target, server_name)


async def _tables_of(database: Source) -> list[Table]:
    columns = await database.columns()
    return tables_of([each for each in columns if each.table not in _NOT_COPIED])
