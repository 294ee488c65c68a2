"""Queries on ``typing_rooms`` (created in migrations/0010_typing.sql).

``typed_ts_ms`` is exact to an hour.
"""

from collections.abc import Sequence

from tremula.infra.db import Reader, Unit


def upsert_typing_room(unit: Unit, room_nid: int, *, typed_ts_ms: int) -> None:
    """Record that somebody types in a room."""
    unit.run(
        """
        INSERT INTO typing_rooms (room_nid, typed_ts_ms)
        VALUES (:room_nid, :typed_ts_ms)
        ON CONFLICT (room_nid) DO UPDATE SET typed_ts_ms = excluded.typed_ts_ms
        """,
        room_nid=room_nid,
        typed_ts_ms=typed_ts_ms,
    )


async def typing_rooms_among(
    db: Reader, room_nids: Sequence[int], *, since_ts_ms: int
) -> set[int]:
    """Those of *room_nids* (at most 500) in which somebody has typed since."""
    rows = await db.all(
        """
        SELECT room_nid FROM typing_rooms
        WHERE room_nid IN :room_nids AND typed_ts_ms >= :since_ts_ms
        """,
        room_nids=list(room_nids),
        since_ts_ms=since_ts_ms,
    )
    return {room_nid for (room_nid,) in rows}
