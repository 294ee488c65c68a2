"""Queries on ``device_lists_changes`` (migrations/0017_device_lists.sql).

One row a user: their newest change only.
"""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


def upsert_change(unit: Unit, user_id: UserId, *, pos: int) -> None:
    """The user's devices changed at *pos*."""
    unit.run(
        """
        INSERT INTO device_lists_changes (user_id, pos) VALUES (:user_id, :pos)
        ON CONFLICT (user_id) DO UPDATE SET pos = excluded.pos
        """,
        user_id=user_id,
        pos=pos,
    )


def upsert_unless_changed(
    unit: Unit, user_id: UserId, *, seen_pos: int, pos: int
) -> None:
    """The user's devices changed at *pos*; before that up to *seen_pos*, if ever.

    If they have changed since, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        INSERT INTO device_lists_changes (user_id, pos) VALUES (:user_id, :pos)
        ON CONFLICT (user_id) DO UPDATE
        SET pos = CASE WHEN device_lists_changes.pos <= :seen_pos
            THEN excluded.pos END
        """,
        user_id=user_id,
        seen_pos=seen_pos,
        pos=pos,
    )


def check_unchanged(unit: Unit, user_id: UserId, *, seen_pos: int) -> None:
    """Let the unit fail with ``Conflict`` if they have changed since *seen_pos*."""
    unit.run(
        """
        UPDATE device_lists_changes SET pos = CASE WHEN pos <= :seen_pos THEN pos END
        WHERE user_id = :user_id
        """,
        user_id=user_id,
        seen_pos=seen_pos,
    )


async def find_change(db: Reader, user_id: UserId) -> int | None:
    """The position of the user's newest change."""
    row = await db.first(
        "SELECT pos FROM device_lists_changes WHERE user_id = :user_id",
        user_id=user_id,
    )
    return row[0] if row else None


async def changed_after(db: Reader, pos: int) -> set[UserId]:
    """Whose devices changed after *pos* (device_lists_changes_by_pos)."""
    rows = await db.scan(
        "SELECT user_id FROM device_lists_changes WHERE pos > :pos", pos=pos
    )
    return {UserId(user_id) for (user_id,) in rows}


async def changes_after(db: Reader, pos: int) -> list[tuple[int, UserId]]:
    """``(pos, user_id)`` of what changed after *pos*, oldest first."""
    rows = await db.scan(
        """
        SELECT pos, user_id FROM device_lists_changes WHERE pos > :pos ORDER BY pos
        """,
        pos=pos,
    )
    return [(changed_pos, UserId(user_id)) for changed_pos, user_id in rows]
