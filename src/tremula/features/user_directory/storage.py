"""Queries on ``user_directory_…`` (migrations/0033_user_directory.sql).

A user takes some 40 bytes a word of their ID and of the names that they ever had.
"""

from collections.abc import Iterable

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class Progress(Struct, frozen=True):
    """The terms are of this version, and hold what was stored up to ``pos``."""

    version: int
    pos: int


class TermOfUser(Struct, frozen=True, order=True):
    """A row of ``user_directory_terms``, in their order."""

    term: str
    user_id: str


async def progress(db: Reader) -> Progress:
    """How far the terms are."""
    row = await db.first(
        "SELECT version, pos FROM user_directory_progress WHERE id = 1"
    )
    assert row is not None, "the migration has made it"
    return Progress(*row)


def update_progress(unit: Unit, version: int, *, seen_pos: int, pos: int) -> None:
    """Note that the terms, of this version, reach from *seen_pos* on up to *pos*.

    If they are others, or reach elsewhere by now, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        UPDATE user_directory_progress
        SET pos = CASE WHEN pos = :seen_pos AND version = :version
            THEN CAST(:pos AS BIGINT) END
        WHERE id = 1
        """,
        version=version,
        seen_pos=seen_pos,
        pos=pos,
    )


def reset_progress(unit: Unit, *, version: int = 0) -> None:
    """Note that the terms of this version are none yet.

    What is of version 0 is made anew when a server comes upon it.
    """
    unit.run(
        "UPDATE user_directory_progress SET version = :version, pos = 0 WHERE id = 1",
        version=version,
    )


def insert_terms(unit: Unit, terms: Iterable[TermOfUser]) -> None:
    """Have users found by terms, which they may have already."""
    unit.run_many(
        """
        INSERT INTO user_directory_terms (term, user_id) VALUES (:term, :user_id)
        ON CONFLICT (term, user_id) DO NOTHING
        """,
        [{"term": each.term, "user_id": each.user_id} for each in terms],
    )


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
