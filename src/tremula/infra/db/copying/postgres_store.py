"""A PostgreSQL database as the source or target of a copy."""

# ruff: noqa: D102 - the Protocol below repeats what asyncpg documents

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol, cast

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.db.copying.table import ColumnInfo, Table, quoted
from tremula.infra.db.errors import Conflict, DatabaseRefused, DatabaseUnavailable
from tremula.infra.db.postgres import first_session
from tremula.infra.db.postgres_errors import SERVER_GONE
from tremula.infra.db.postgres_session import Connection, end
from tremula.infra.db.reader import Engine, Row

# Counting and analysing all rows takes as long as it takes.
_PATIENCE_S: Final = 24 * 3600.0
_COLUMNS: Final = """
    SELECT tables.relname::text, columns.attname::text,
           format_type(columns.atttypid, NULL),
           array_position(keys.indkey::int2[], columns.attnum) + 1
    FROM pg_class AS tables
    JOIN pg_attribute AS columns ON columns.attrelid = tables.oid
    LEFT JOIN pg_index AS keys ON keys.indrelid = tables.oid AND keys.indisprimary
    WHERE tables.relnamespace = current_schema()::regnamespace
      AND tables.relkind IN ('r', 'p') AND NOT tables.relispartition
      AND columns.attnum > 0 AND NOT columns.attisdropped
      AND columns.attgenerated = ''
    ORDER BY tables.relname COLLATE "C", columns.attnum
"""
_SEQUENCES: Final = """
    SELECT tables.relname::text, columns.attname::text, sequences.oid,
           pg_sequence_last_value(sequences.oid)
    FROM pg_depend
    JOIN pg_class AS sequences
      ON sequences.oid = pg_depend.objid AND sequences.relkind = 'S'
    JOIN pg_class AS tables ON tables.oid = pg_depend.refobjid
    JOIN pg_attribute AS columns
      ON columns.attrelid = tables.oid AND columns.attnum = pg_depend.refobjsubid
    WHERE pg_depend.classid = 'pg_class'::regclass
      AND pg_depend.refclassid = 'pg_class'::regclass
      AND pg_depend.deptype IN ('a', 'i')
      AND tables.relnamespace = current_schema()::regnamespace
"""


class CopyConnection(Connection, Protocol):
    """What we use of ``asyncpg.Connection`` beside what the server does."""

    async def execute(
        self,
        query: str,
        /,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's
    ) -> str: ...
    async def fetchval(
        self,
        query: str,
        /,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's
    ) -> Any: ...  # noqa: ANN401 - one value of any type
    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[object]],
        columns: Sequence[str],
    ) -> str: ...


class PostgresStore:
    """Implements ``Target`` over one session, which holds the writer's lock."""

    engine = Engine.POSTGRES

    def __init__(self, connection: CopyConnection) -> None:
        self._connection = connection

    async def all(self, sql: str, /) -> list[Row]:
        """See ``Migratable.all``."""
        return await self._fetch(sql)

    async def run_script(self, script: str) -> None:
        """See ``Migratable.run_script``."""
        async with self.transaction():
            await self._execute(script)

    async def columns(self) -> list[ColumnInfo]:
        """See ``Source.columns``."""
        return [ColumnInfo(*row) for row in await self._fetch(_COLUMNS)]

    async def count(self, table: Table) -> int:
        """See ``Source.count``."""
        return int(await self._value(table.count_sql))

    async def page(self, table: Table, after: Row | None) -> list[Row]:
        """See ``Source.page``."""
        if after is None:
            return await self._fetch(table.first_page_sql)
        return await self._fetch(table.next_page_sql, *after)

    async def counters(self) -> Mapping[str, int]:
        """See ``Source.counters``."""
        return {
            table: last
            for table, _, _, last in await self._fetch(_SEQUENCES)
            if last is not None
        }

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See ``Target.transaction``."""
        with self._told():
            async with self._connection.transaction():
                yield

    async def last_key(self, table: Table) -> Row | None:
        """See ``Target.last_key``."""
        rows = await self._fetch(table.last_key_sql)
        return rows[0] if rows else None

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """See ``Target.insert``."""
        with self._told(f" rows of {table.name}"):
            await self._connection.copy_records_to_table(
                table.name, records=rows, columns=table.column_names
            )

    async def empty(self, tables: Sequence[Table]) -> None:
        """See ``Target.empty``."""
        names = ", ".join(quoted(table.name) for table in tables)
        await self._execute(f"TRUNCATE {names}")

    async def set_counters(self, counters: Mapping[str, int]) -> None:
        """See ``Target.set_counters``."""
        for table, column, sequence, _ in await self._fetch(_SEQUENCES):
            greatest = await self._value(
                f"SELECT MAX({quoted(column)}) FROM {quoted(table)}"  # noqa: S608 - quoted
            )
            last = max(counters.get(table, 0), greatest or 0)
            if last > 0:
                await self._value(
                    "SELECT setval($1::oid::regclass, $2)", sequence, last
                )

    async def settle(self) -> None:
        """See ``Target.settle``: queries are planned by statistics, so take them."""
        await self._execute("ANALYZE")

    async def _execute(self, sql: str) -> None:
        with self._told():
            await self._connection.execute(sql, timeout=_PATIENCE_S)

    async def _fetch(self, sql: str, *arguments: object) -> list[Row]:
        with self._told():
            return [tuple(row) for row in await self._connection.fetch(sql, *arguments)]

    async def _value(self, sql: str, *arguments: object) -> Any:  # noqa: ANN401 - of any type
        with self._told():
            return await self._connection.fetchval(sql, *arguments, timeout=_PATIENCE_S)

    @contextmanager
    def _told(self, what: str = "") -> Iterator[None]:
        """Say in our words what PostgreSQL, or a value that it can't hold, says."""
        try:
            yield
        except SERVER_GONE as error:
            raise DatabaseUnavailable(f"PostgreSQL has gone: {error}") from error
        except asyncpg.IntegrityConstraintViolationError as error:
            raise Conflict(f"PostgreSQL refuses{what}: {error}") from error
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            ValueError,
            OverflowError,
        ) as error:
            raise DatabaseRefused(f"PostgreSQL refuses{what}: {error}") from error


@asynccontextmanager
async def postgres_store(url: str) -> AsyncIterator[PostgresStore]:
    """Connect to the database at *url*; see ``open_store``."""
    connection = (await first_session(url)).connection
    try:
        yield PostgresStore(cast("CopyConnection", connection))
    finally:
        await end(connection)
