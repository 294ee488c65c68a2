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


async def changed_after(db: Reader, pos: int) -> set[UserId]:
    """Whose devices changed after *pos* (device_lists_changes_by_pos)."""
    rows = await db.scan(
        "SELECT user_id FROM device_lists_changes WHERE pos > :pos", pos=pos
    )
    return {UserId(user_id) for (user_id,) in rows}
