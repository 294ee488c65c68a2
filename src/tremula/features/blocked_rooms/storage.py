"""Queries on ``blocked_rooms`` (created in migrations/0040_room_deletions.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import RoomId


def insert_blocked(unit: Unit, room_id: RoomId, *, ts_ms: int) -> None:
    """Block a room, unless it is blocked."""
    unit.run(
        """
        INSERT INTO blocked_rooms (room_id, blocked_ts_ms) VALUES (:room_id, :ts_ms)
        ON CONFLICT (room_id) DO NOTHING
        """,
        room_id=room_id,
        ts_ms=ts_ms,
    )


def delete_blocked(unit: Unit, room_id: RoomId) -> None:
    """Block a room no longer."""
    unit.run("DELETE FROM blocked_rooms WHERE room_id = :room_id", room_id=room_id)


async def is_blocked(db: Reader, room_id: RoomId) -> bool:
    """Whether a room is blocked."""
    row = await db.first(
        "SELECT 1 FROM blocked_rooms WHERE room_id = :room_id", room_id=room_id
    )
    return row is not None
