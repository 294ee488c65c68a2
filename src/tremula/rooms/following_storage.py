"""Queries on ``rooms_followers_derived`` (migrations/0032_search.sql)."""

from msgspec import Struct

from tremula.infra.db import Reader, Unit


class Progress(Struct, frozen=True):
    """What is made of events is of this version, and reaches up to ``pos``."""

    version: int
    pos: int


async def find_progress(db: Reader, name: str) -> Progress | None:
    """How far something is made, if it was begun."""
    row = await db.first(
        "SELECT version, pos FROM rooms_followers_derived WHERE name = :name", name=name
    )
    return Progress(*row) if row else None


def begin(unit: Unit, name: str, version: int) -> None:
    """Note that something, of this version, is made of nothing yet."""
    unit.run(
        """
        INSERT INTO rooms_followers_derived (name, version, pos)
        VALUES (:name, :version, 0)
        ON CONFLICT (name) DO UPDATE SET version = excluded.version, pos = 0
        """,
        name=name,
        version=version,
    )


def update_progress(unit: Unit, name: str, *, seen: Progress, pos: int) -> None:
    """Note that something reaches up to *pos* now.

    If it does not reach to what was *seen* any more, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        UPDATE rooms_followers_derived
        SET pos = CASE WHEN pos = :seen_pos AND version = :version
            THEN CAST(:pos AS BIGINT) END
        WHERE name = :name
        """,
        name=name,
        version=seen.version,
        seen_pos=seen.pos,
        pos=pos,
    )


def delete_progress(unit: Unit) -> None:
    """Have everything made anew, by the server that comes upon it."""
    unit.run("DELETE FROM rooms_followers_derived")
