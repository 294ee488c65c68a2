"""A batch of nothing but new rows as one statement: one round trip, with its commit.

Most commits are such: messages. In steps they take four round trips, each with a
wake-up on both sides, while all locks are held.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.infra.db.batches import Group
from tremula.infra.db.fencing import ALONE, BEGUN, WriterLease
from tremula.infra.db.params import PostgresText, postgres_text
from tremula.infra.db.postgres_session import Connection
from tremula.infra.slots import SlotLease

_TABLES_MAX: Final = 4
# PostgreSQL remembers a plan of each.
_TEXTS_MAX: Final = 64
_FENCE_PARAMETERS: Final = 5
# Each parameter is one column, in order.
_INSERT: Final = re.compile(r"INSERT INTO (\w+ \([\w, ]+\)) VALUES \(([$\d, ]+)\)")


class AtOnce(Struct, frozen=True):
    """A statement that is a transaction of its own, and its parameters."""

    sql: str
    arguments: Sequence[object]


class _Insert(Struct, frozen=True):
    """A text that adds a row: ``into`` with its columns, which are of ``types``."""

    text: PostgresText
    into: str
    types: Sequence[str]


class Composer:
    """Makes one statement of many, of texts whose parameters' types it has learnt."""

    __slots__ = ("_inserts", "_texts")

    def __init__(self) -> None:
        self._inserts: dict[str, _Insert | None] = {}
        self._texts: dict[tuple[str, ...], str] = {}

    async def learn(self, connection: Connection, sql: str) -> None:
        """Have *sql* known from now on. One round trip, once."""
        if sql in self._inserts:
            return
        self._inserts[sql] = None
        text = postgres_text(sql)
        match = _INSERT.fullmatch(text.sql)
        if match is None or text.lists:
            return
        types = (await connection.prepare(text.sql)).get_parameters()
        in_order = ", ".join(f"${number}" for number in range(1, len(types) + 1))
        # Of an array, unnest() would make more rows.
        are_plain = all(
            each.kind == "scalar" and each.schema == "pg_catalog" for each in types
        )
        if match[2] == in_order and are_plain:
            names = [each.name for each in types]
            self._inserts[sql] = _Insert(text, match[1], names)

    def compose(
        self,
        groups: Sequence[Group],
        *,
        batch: int,
        writer: WriterLease | None,
        leases: Sequence[SlotLease],
    ) -> AtOnce | None:
        """*groups* as the batch of that number; None if they need steps.

        It stores all of them and answers with a row, or it stores nothing.
        """
        known: dict[str, tuple[Group, _Insert]] = {}
        for group in groups:
            insert = self._inserts.get(group.sql)
            if insert is None or group.returned is not None or group.sql in known:
                return None
            known[group.sql] = group, insert
        # Rows are all there is, so that any order will do: there are fewer texts.
        sql = self._text(tuple(sorted(known)))
        if sql is None:
            return None
        arguments: list[object] = [
            batch,
            ALONE if writer is None else writer.writer,
            None if writer is None else writer.epoch,
            [lease.slot for lease in leases],
            [lease.epoch for lease in leases],
        ]
        for _, (group, insert) in sorted(known.items()):
            rows = map(insert.text.bind, group.rows)
            arguments += zip(*rows, strict=True)
        return AtOnce(sql, arguments)

    def _text(self, texts: tuple[str, ...]) -> str | None:
        known = self._texts.get(texts)
        if known is not None:
            return known
        if len(texts) > _TABLES_MAX or len(self._texts) >= _TEXTS_MAX:
            return None
        inserts = (self._inserts[sql] for sql in texts)
        known = self._texts[texts] = _composed([each for each in inserts if each])
        return known


def _composed(inserts: Sequence[_Insert]) -> str:
    number = _FENCE_PARAMETERS
    stored: list[str] = []
    for place, insert in enumerate(inserts):
        columns = ", ".join(
            f"${number + nth}::{name}[]" for nth, name in enumerate(insert.types, 1)
        )
        number += len(insert.types)
        stored.append(
            f", stored_{place} AS (INSERT INTO {insert.into}"  # noqa: S608 - texts of ours
            f" SELECT * FROM unnest({columns}) WHERE EXISTS (SELECT FROM begun))"
        )
    return f"{BEGUN}{''.join(stored)} SELECT FROM begun"
