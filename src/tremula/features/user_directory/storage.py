"""Queries on ``user_directory_…`` (migrations/0033_user_directory.sql).

A user takes some 40 bytes a word of their ID and of the names that they ever had.
"""

from collections.abc import Sequence
from typing import Final, LiteralString

import orjson
from msgspec import Struct

from tremula.infra.db import Engine, Reader, Unit
from tremula.protocol.identifiers import UserId

# As JSON, since no list can carry more than one value a row. SQLite would take the
# ON of ON CONFLICT for that of a join.
_INSERT_SQLITE: Final[LiteralString] = """
    INSERT INTO user_directory_terms (term, user_id)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
    FROM json_each(:terms) WHERE true
    ON CONFLICT (term, user_id) DO NOTHING
"""
_INSERT_POSTGRES: Final[LiteralString] = """
    INSERT INTO user_directory_terms (term, user_id)
    SELECT value ->> 0, value ->> 1
    FROM jsonb_array_elements(CAST(CAST(:terms AS TEXT) AS JSONB)) AS t(value)
    ON CONFLICT (term, user_id) DO NOTHING
"""


class TermOfUser(Struct, frozen=True):
    """A row of ``user_directory_terms``."""

    term: str
    user_id: str


def insert_terms(
    unit: Unit, engine: Engine, terms: Sequence[tuple[str, UserId]]
) -> None:
    """Have users found by *terms*, ``(term, user ID)``, which they may have already.

    One statement, however many there are.
    """
    insert = _INSERT_POSTGRES if engine is Engine.POSTGRES else _INSERT_SQLITE
    unit.run(insert, terms=orjson.dumps(terms).decode())


def delete_all_terms(unit: Unit) -> None:
    """Have nobody found."""
    unit.run("DELETE FROM user_directory_terms")


async def terms_beginning(
    db: Reader, prefix: str, *, after: TermOfUser | None, limit: int
) -> list[TermOfUser]:
    """Terms that begin with *prefix*, in their order."""
    at = after or TermOfUser(prefix, "")
    rows = await db.scan(
        """
        SELECT term, user_id FROM user_directory_terms
        WHERE (term, user_id) > (:term, :user_id) AND term < :end
        ORDER BY term, user_id LIMIT :limit
        """,
        term=at.term,
        user_id=at.user_id,
        # Past the last character that there can be.
        end=f"{prefix}\U0010ffff",
        limit=limit,
    )
    return [TermOfUser(term, UserId(user_id)) for term, user_id in rows]
