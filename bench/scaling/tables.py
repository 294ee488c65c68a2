"""Which column each table would be distributed by, and what stands in the way.

Read from the schema of a new PostgreSQL and from the SQL of the program, so that it
tells of every table and statement that there is.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.config import PostgresUrl
from tremula.infra.db import migrate_together

# Rows that belong together have one value of it, wherever they lie.
_COLUMNS: Final = {
    "room_nid": "room",
    "user_id": "user",
    "server_name": "server",
    "origin": "server",
}
# Those whose primary key begins otherwise.
_EXCEPTIONS: Final = {
    "federation_outbox": "room_nid",
    "rooms_events": "room_nid",
    "sessions_grants": "user_id",
}
# Few rows, written seldom, or by the cluster itself: on one node, or copied to all.
_EVERYWHERE: Final = frozenset(
    {
        "infra_members",
        "infra_migrations",
        "infra_server",
        "infra_slots",
        "infra_writers",
        "registration_tokens",
        "server_keys_old",
        "server_keys_own",
    }
)
_SOURCES: Final = Path(__file__).parents[2] / "src"
_SQL: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")

_INDEXES: Final = """
    SELECT c.relname AS "table", i.indisprimary AS is_primary,
           (SELECT array_agg(CAST(a.attname AS TEXT) ORDER BY k.place)
            FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute a
              ON a.attrelid = c.oid AND a.attnum = k.number) AS columns
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisunique AND n.nspname = 'public'
    ORDER BY c.relname, i.indisprimary DESC, i.indexrelid
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, the column that it is distributed by ('' for everywhere), and those
    of its unique keys that the column is no part of.
    """

    name: str
    column: str
    hindrances: Sequence[str]

    @property
    def kind(self) -> str:
        """What its rows belong to."""
        return _COLUMNS.get(self.column, "own key") if self.column else "everywhere"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that one node can't do alone."""

    place: str
    tables: tuple[str, ...]
    reason: str


async def read_tables(url: str) -> list[Table]:
    """Migrate the empty database at *url*, and place its tables."""
    await migrate_together(PostgresUrl(url))
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_INDEXES)
    finally:
        await connection.close()
    keys: dict[str, list[list[str]]] = {}
    for row in rows:
        keys.setdefault(row["table"], []).append(row["columns"])
    return [_placed(name, columns) for name, columns in keys.items()]


def _placed(name: str, keys: Sequence[Sequence[str]]) -> Table:
    if name in _EVERYWHERE:
        return Table(name, "", ())
    column = _EXCEPTIONS.get(name, keys[0][0])
    return Table(name, column, [", ".join(key) for key in keys if column not in key])


def scattered(tables: Mapping[str, Table]) -> Iterator[Statement]:
    """The statements of the program that lead to several nodes."""
    for path in sorted(_SOURCES.rglob("*storage.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.parent.name}: {function.name}"
                for sql in _statements(function):
                    yield from _judged(place, sql, tables)


def _statements(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and _SQL.match(text):
            yield text


def _judged(place: str, sql: str, tables: Mapping[str, Table]) -> Iterator[Statement]:
    words = set(re.findall(r"\w+", sql))
    touched = [tables[word] for word in sorted(words & tables.keys())]
    placed = [table for table in touched if table.column]
    names = tuple(table.name for table in placed)
    if len({table.kind for table in placed}) > 1:
        yield Statement(place, names, "joins different kinds")
    elif any(table.column not in words for table in placed):
        yield Statement(place, names, "does not name the column")
