"""An SQLite file as the source or target of a copy."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import apsw

from tremula.infra.db.copying.table import ColumnInfo, Table, quoted
from tremula.infra.db.errors import Conflict, DatabaseRefused
from tremula.infra.db.reader import Engine, Row
from tremula.infra.db.sqlite_file import connect, take_lock

_CACHE_KIB: Final = 64 * 1024
# Not those that an index of a virtual table is made of: they belong to the engine.
_COLUMNS: Final = """
    SELECT tables.name, columns.name, columns.type, columns.pk
    FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns
    WHERE tables.schema = 'main' AND tables.type = 'table'
      AND tables.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    ORDER BY tables.name, columns.cid
"""


class SqliteStore:
    """Implements ``Target`` over one connection."""

    engine = Engine.SQLITE

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def all(self, sql: str, /) -> list[Row]:
        """See ``Migratable.all``."""
        return self._fetch(sql)

    async def run_script(self, script: str) -> None:
        """See ``Migratable.run_script``."""
        with _told(), self._connection:
            self._connection.execute(script)

    async def columns(self) -> list[ColumnInfo]:
        """See ``Source.columns``."""
        return [ColumnInfo(*row) for row in self._fetch(_COLUMNS)]

    async def count(self, table: Table) -> int:
        """See ``Source.count``."""
        ((count,),) = self._fetch(table.count_sql)
        return int(count)

    async def page(self, table: Table, after: Row | None) -> list[Row]:
        """See ``Source.page``."""
        if after is None:
            return self._fetch(table.first_page_sql)
        return self._fetch(table.next_page_sql, after)

    async def counters(self) -> Mapping[str, int]:
        """See ``Source.counters``."""
        if not self._has_counters():
            return {}
        return dict(self._fetch("SELECT name, seq FROM sqlite_sequence"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See ``Target.transaction``."""
        with _told(), self._connection:
            yield

    async def last_key(self, table: Table) -> Row | None:
        """See ``Target.last_key``."""
        rows = self._fetch(table.last_key_sql)
        return rows[0] if rows else None

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """See ``Target.insert``."""
        with _told(f" rows of {table.name}"):
            self._connection.executemany(table.insert_sql, rows)

    async def empty(self, tables: Sequence[Table]) -> None:
        """See ``Target.empty``."""
        with _told():
            for table in tables:
                self._connection.execute(f"DELETE FROM {quoted(table.name)}")  # noqa: S608 - quoted

    async def set_counters(self, counters: Mapping[str, int]) -> None:
        """See ``Target.set_counters``; inserting rows has counted already."""
        if not self._has_counters():
            return
        for counter in counters.items():
            self._fetch("DELETE FROM sqlite_sequence WHERE name = ?", counter[:1])
            self._fetch(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", counter
            )

    async def settle(self) -> None:
        """See ``Target.settle``: closing the last connection is enough."""

    def _has_counters(self) -> bool:
        return self._connection.table_exists("main", "sqlite_sequence")

    def _fetch(self, sql: str, bindings: Row = ()) -> list[Row]:
        with _told():
            return list(self._connection.execute(sql, bindings))


@asynccontextmanager
async def sqlite_store(path: Path) -> AsyncIterator[SqliteStore]:
    """Open or create the file at *path*; see ``open_store``."""
    with take_lock(path):
        with _told():
            connection = connect(path, cache_kib=_CACHE_KIB)
        try:
            yield SqliteStore(connection)
        finally:
            connection.close()


@contextmanager
def _told(what: str = "") -> Iterator[None]:
    """Say in our words what SQLite, or a value that it can't hold, says."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise Conflict(f"SQLite refuses{what}: {error}") from error
    except (apsw.Error, UnicodeDecodeError, OverflowError) as error:
        raise DatabaseRefused(f"SQLite refuses{what}: {error}") from error
