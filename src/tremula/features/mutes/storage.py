"""Queries on ``mutes`` (created in migrations/0045_user_data_of_bridges.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import RoomId, UserId


async def mutes_ended(
    db: Reader, *, now_ms: int, limit: int
) -> list[tuple[UserId, RoomId]]:
    """Whose mutes of which rooms have ended, the earliest first (mutes_by_end)."""
    rows = await db.all(
        """
        SELECT user_id, room_id FROM mutes WHERE until_ts_ms <= :now_ms
        ORDER BY until_ts_ms LIMIT :limit
        """,
        now_ms=now_ms,
        limit=limit,
    )
    return [(UserId(user_id), RoomId(room_id)) for user_id, room_id in rows]


def upsert_mute(
    unit: Unit, user_id: UserId, room_id: RoomId, *, until_ts_ms: int
) -> None:
    """Note when a mute ends."""
    unit.run(
        """
        INSERT INTO mutes (user_id, room_id, until_ts_ms)
        VALUES (:user_id, :room_id, :until_ts_ms)
        ON CONFLICT (room_id, user_id) DO UPDATE
        SET until_ts_ms = excluded.until_ts_ms
        """,
        user_id=user_id,
        room_id=room_id,
        until_ts_ms=until_ts_ms,
    )


def delete_mute(unit: Unit, user_id: UserId, room_id: RoomId) -> None:
    """Forget when a mute ends."""
    unit.run(
        "DELETE FROM mutes WHERE room_id = :room_id AND user_id = :user_id",
        user_id=user_id,
        room_id=room_id,
    )
