"""Deletes what refers to one thing from every table, whoever owns them.

Which tables these are is read from the schema: whoever adds one need not know of it.
"""

from typing import Any, Final

from msgspec import Struct

from tremula.infra.db.database import Database
from tremula.infra.db.reader import Engine, Reader
from tremula.infra.db.unit import Statements

_ROWS_AT_ONCE: Final = 500

_SQLITE_COLUMNS: Final = """
    SELECT tables.name, columns.name, columns.pk
    FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns
    WHERE tables.schema = 'main' AND tables.type = 'table'
    ORDER BY tables.name, columns.pk
"""
_POSTGRES_COLUMNS: Final = """
    SELECT CAST(tables.relname AS TEXT), CAST(columns.attname AS TEXT),
           CAST(COALESCE(array_position(CAST(keys.indkey AS SMALLINT[]),
                                        columns.attnum) + 1, 0) AS BIGINT)
    FROM pg_class AS tables
    JOIN pg_attribute AS columns ON columns.attrelid = tables.oid
    LEFT JOIN pg_index AS keys ON keys.indrelid = tables.oid AND keys.indisprimary
    WHERE tables.relnamespace = CAST(current_schema() AS REGNAMESPACE)
      AND tables.relkind = 'r' AND columns.attnum > 0 AND NOT columns.attisdropped
    ORDER BY 1, 3
"""


class Referring(Struct, frozen=True):
    """A table with the column in question, and the columns of its primary key."""

    table: str
    key: tuple[str, ...]


async def tables_with(db: Reader, column: str) -> list[Referring]:
    """The tables that have a column of this name."""
    sqlite = db.engine is Engine.SQLITE
    rows = await db.all(_SQLITE_COLUMNS if sqlite else _POSTGRES_COLUMNS)
    columns: dict[str, list[tuple[str, int]]] = {}
    for table, name, key_place in rows:
        columns.setdefault(table, []).append((name, key_place))
    return [
        Referring(table, tuple(name for name, place in found if place))
        for table, found in columns.items()
        if any(name == column for name, _ in found)
    ]


def _literal(sql: Any) -> Any:  # noqa: ANN401 - made of names of the schema
    return sql


async def purge(
    db: Database, referring: Referring, column: str, value: int | str
) -> int:
    """Delete the rows of a table with *value* in *column*; how many there were.

    A few at a time, in units of their own: others' writes come in between.
    """
    key = ", ".join(referring.key)
    table = referring.table
    condition = " AND ".join(f"{name} = :{name}" for name in referring.key)
    # Names of the schema, not of anybody outside.
    find = f"SELECT {key} FROM {table} WHERE {column} = :value LIMIT {_ROWS_AT_ONCE}"  # noqa: S608
    delete = f"DELETE FROM {table} WHERE {condition}"  # noqa: S608
    count = 0
    while rows := await db.scan(_literal(find), value=value):
        unit = Statements()
        unit.run_many(
            _literal(delete),
            [dict(zip(referring.key, row, strict=True)) for row in rows],
        )
        await db.commit(unit)
        count += len(rows)
    return count
