"""A batch of nothing but rows to insert as one statement: one round trip, with its
commit.

Most commits are such: messages, and changes of state, whose rows replace others. In
steps they take four to eight round trips, each with a wake-up on both sides, while all
locks are held.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.infra.db.batches import Group
from tremula.infra.db.fencing import ALONE, BEGUN, WriterLease
from tremula.infra.db.params import PostgresText, effect_of, postgres_text
from tremula.infra.db.postgres_session import Connection
from tremula.infra.slots import SlotLease

_TABLES_MAX: Final = 8
# PostgreSQL remembers a plan of each.
_TEXTS_MAX: Final = 64
_FENCE_PARAMETERS: Final = 5
# Of parameters and numbers, and what becomes of a row that is there rests on no more.
_INSERT: Final = re.compile(
    r"INSERT INTO (\w+ \([\w, ]+\)) VALUES \(([$\d, ]+)\)( ON CONFLICT [^$]+)?"
)
_PARAMETER: Final = re.compile(r"\$(\d+)")


class AtOnce(Struct, frozen=True):
    """A statement that is a transaction of its own, and its parameters."""

    sql: str
    arguments: Sequence[object]


class _Insert(Struct, frozen=True):
    """A text that inserts a row of ``values`` into columns of the ``table``, or does
    what ``otherwise`` says with the one that is there; parameters are of ``types``.
    """

    text: PostgresText
    table: str
    into: str
    values: str
    otherwise: str
    types: Sequence[str]

    def commutes_with(self, other: "_Insert") -> bool:
        """Whether they may run in any order: of new rows alone, any will do."""
        return self.table != other.table or not (self.otherwise or other.otherwise)


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
        effect = effect_of(sql)
        if match is None or text.lists or effect.table is None or effect.reads:
            return
        types = (await connection.prepare(text.sql)).get_parameters()
        # Of an array, unnest() would make more rows.
        are_plain = all(
            each.kind == "scalar" and each.schema == "pg_catalog" for each in types
        )
        if are_plain:
            self._inserts[sql] = _Insert(
                text,
                effect.table,
                into=match[1],
                values=_PARAMETER.sub(r"p\1", match[2]),
                otherwise=match[3] or "",
                types=[each.name for each in types],
            )

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
            if not all(insert.commutes_with(other) for _, other in known.values()):
                return None
            known[group.sql] = group, insert
        # In whatever order they come: there are fewer texts.
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
        names = ", ".join(f"p{nth}" for nth, _ in enumerate(insert.types, 1))
        number += len(insert.types)
        stored.append(
            f", stored_{place} AS (INSERT INTO {insert.into}"  # noqa: S608 - texts of ours
            f" SELECT {insert.values} FROM unnest({columns}) AS given ({names})"
            f" WHERE EXISTS (SELECT FROM begun){insert.otherwise})"
        )
    return f"{BEGUN}{''.join(stored)} SELECT FROM begun"
