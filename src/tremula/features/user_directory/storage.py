"""Queries on ``user_directory_…`` (migrations/0033_user_directory.sql).

A user takes some 40 bytes a word of their ID and of the names that they ever had.
"""

from collections.abc import Iterable

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class TermOfUser(Struct, frozen=True, order=True):
    """A row of ``user_directory_terms``, in their order."""

    term: str
    user_id: str


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
