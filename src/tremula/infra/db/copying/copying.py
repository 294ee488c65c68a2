"""The copy itself: prepare, copy, verify, finish.

Rows go over in the order of each table's primary key, in transactions of some pages.
So what a table of the target holds is always the beginning of the source's, and its
greatest key says where to go on: nothing else is remembered of a copy that stopped.
In the end everything is read back from both databases and compared, also what an
earlier run has copied; only then is the mark of the unfinished copy taken away.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db.copy_marker import unmark
from tremula.infra.db.copying.checksums import summarise
from tremula.infra.db.copying.preparing import check_databases, prepare_target
from tremula.infra.db.copying.progress import Progress, Step
from tremula.infra.db.copying.store import Source, Target, open_store
from tremula.infra.db.copying.table import PAGE_ROWS, Table
from tremula.infra.db.errors import Conflict, CopyUnfinished, DatabaseRefused
from tremula.infra.db.migrations import Migration, all_migrations
from tremula.infra.db.reader import Row

_TRANSACTION_PAGES: Final = 20


async def copy_database(
    source: SqliteFile | PostgresUrl,
    target: SqliteFile | PostgresUrl,
    progress: Progress,
    *,
    migrations: list[Migration] | None = None,
) -> None:
    """Fill *target* with all that *source* holds, or go on doing so.

    Raises:
        CopyRefused: it can't be done with these two; nothing was changed.
        CopyUnfinished: what was copied is not what the source holds. The tables that
            differ were emptied; the next run copies them anew.
        DatabaseInUse: a server has one of them open.
        DatabaseRefused: one can't be opened, read or written.
        DatabaseUnavailable: one can't be reached any more.
    """
    migrations = all_migrations() if migrations is None else migrations
    server_name = await check_databases(source, target, migrations)
    async with open_store(source) as read, open_store(target) as written:
        tables = await prepare_target(read, written, server_name, migrations)
        rows = sum([await read.count(table) for table in tables])
        progress.begun(Step.COPY, rows)
        await _copy(read, written, tables, progress)
        progress.begun(Step.VERIFY, rows)
        await _verify(read, written, tables, progress)
        async with written.transaction():
            await written.set_counters(await read.counters())
            await unmark(written)
        await written.settle()


async def _copy(
    source: Source, target: Target, tables: Sequence[Table], progress: Progress
) -> None:
    for table in tables:
        after = await target.last_key(table)
        present = await target.count(table)
        progress.advanced(table.name, present)
        try:
            added = await _copy_rows(source, target, table, after, progress)
        except Conflict as error:
            if after is None:
                raise DatabaseRefused(str(error)) from error
            # The source was used since an earlier run, and a unique value has moved.
            await target.empty([table])
            progress.advanced(table.name, -present)
            present = 0
            added = await _copy_rows(source, target, table, None, progress)
        progress.copied(table.name, present + added)


async def _copy_rows(
    source: Source, target: Target, table: Table, after: Row | None, progress: Progress
) -> int:
    """Copy the rows past the key *after*; returns how many there were."""
    copied = 0
    while True:
        async with target.transaction():
            for _ in range(_TRANSACTION_PAGES):
                page = await source.page(table, after)
                await target.insert(table, page)
                progress.advanced(table.name, len(page))
                copied += len(page)
                if len(page) < PAGE_ROWS:
                    return copied
                after = table.key_of(page[-1])


async def _verify(
    source: Source, target: Target, tables: Sequence[Table], progress: Progress
) -> None:
    different: list[Table] = []
    for table in tables:
        expected = await summarise(
            source, table, partial(progress.advanced, table.name)
        )
        if await summarise(target, table, _ignore) == expected:
            progress.verified(expected)
        else:
            different.append(table)
    if different:
        async with target.transaction():
            await target.empty(different)
        names = ", ".join(table.name for table in different)
        raise CopyUnfinished(
            f"the copy differs from its source in {names}; run the command again to"
            " copy this anew"
        )


def _ignore(_: int) -> None:
    """The target's rows are those of the source, counted already."""
