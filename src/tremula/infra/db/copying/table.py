"""A table as the schema has it, and the statements that go through it."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec import Struct

from tremula.infra.db.errors import CopyRefused
from tremula.infra.db.reader import Row

PAGE_ROWS: Final = 500
"""Rows that are in memory at a time: some 60 MB, were all the largest of events."""


_DERIVED: Final = "_derived"
"""What a server makes anew from the other tables, each engine in a form of its own."""


class Kind(StrEnum):
    """What a column holds; the same in both engines under different names."""

    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BYTES = "bytes"


_KINDS: Final = {
    "integer": Kind.INTEGER,
    "bigint": Kind.INTEGER,
    "smallint": Kind.INTEGER,
    "real": Kind.REAL,
    "double precision": Kind.REAL,
    "text": Kind.TEXT,
    "blob": Kind.BYTES,
    "bytea": Kind.BYTES,
}


class ColumnInfo(NamedTuple):
    """What an engine says of a column: the name of its type, its place in the key."""

    table: str
    name: str
    type: str
    key_place: int | None


class Column(Struct, frozen=True):
    """A column of a table."""

    name: str
    kind: Kind


class Table(Struct, frozen=True):
    """A table; ``key`` are the columns of its primary key, in the key's order.

    Its rows are gone through in the order of that key, which both engines agree upon:
    texts and bytes sort by their bytes. All statements take ``$1``, ``$2``, …
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The order of the values in a row."""
        return tuple(column.name for column in self.columns)

    @property
    def first_page_sql(self) -> str:
        """Reads the first rows."""
        return self._page_sql("")

    @property
    def next_page_sql(self) -> str:
        """Reads the rows after a key."""
        return self._page_sql(
            f"WHERE ({_names(self.key)}) > ({_placeholders(len(self.key))})"
        )

    @property
    def insert_sql(self) -> str:
        """Adds a row."""
        return (
            f"INSERT INTO {quoted(self.name)} ({_names(self.column_names)})"  # noqa: S608 - quoted
            f" VALUES ({_placeholders(len(self.columns))})"
        )

    @property
    def last_key_sql(self) -> str:
        """Reads the greatest key."""
        order = ", ".join(f"{quoted(name)} DESC" for name in self.key)
        return (
            f"SELECT {_names(self.key)} FROM {quoted(self.name)}"  # noqa: S608 - quoted
            f" ORDER BY {order} LIMIT 1"
        )

    @property
    def count_sql(self) -> str:
        """Counts the rows."""
        return f"SELECT COUNT(*) FROM {quoted(self.name)}"  # noqa: S608 - quoted

    def key_of(self, row: Row) -> Row:
        """The primary key of *row*."""
        names = self.column_names
        return tuple(row[names.index(name)] for name in self.key)

    def _page_sql(self, condition: str) -> str:
        return (
            f"SELECT {_names(self.column_names)} FROM {quoted(self.name)} {condition}"  # noqa: S608 - quoted
            f" ORDER BY {_names(self.key)} LIMIT {PAGE_ROWS}"
        )


def tables_of(columns: Sequence[ColumnInfo]) -> list[Table]:
    """Put *columns* together to tables; those that are derived are left out.

    Raises:
        CopyRefused: a table has no primary key, or a column is of an unknown type.
    """
    groups = groupby(columns, key=attrgetter("table"))
    return [
        _table(name, list(group))
        for name, group in groups
        if not name.endswith(_DERIVED)
    ]


def quoted(name: str) -> str:
    """*name* as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def _table(name: str, columns: Sequence[ColumnInfo]) -> Table:
    key = sorted((each.key_place, each.name) for each in columns if each.key_place)
    if not key:
        raise CopyRefused(f"the table {name} has no primary key")
    return Table(
        name,
        tuple(Column(each.name, _kind(each)) for each in columns),
        tuple(column for _, column in key),
    )


def _kind(column: ColumnInfo) -> Kind:
    kind = _KINDS.get(column.type.lower())
    if kind is None:
        raise CopyRefused(
            f"{column.table}.{column.name} is of the unknown type {column.type}"
        )
    return kind


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names))


def _placeholders(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))
