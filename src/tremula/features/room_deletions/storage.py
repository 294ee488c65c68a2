"""Queries on ``room_deletions`` (created in migrations/0040_room_deletions.sql)."""

from msgspec import Struct

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import RoomId


class Deletion(Struct, frozen=True):
    """A row of ``room_deletions``: since when nobody of ours is in the room, and since
    when nothing is left of it.
    """

    room_id: RoomId
    room_nid: int
    stays_blocked: bool
    requested_ts_ms: int
    emptied_ts_ms: int | None = None
    done_ts_ms: int | None = None


def upsert_deletion(unit: Unit, deletion: Deletion) -> None:
    """Begin to delete a room; once more, if that was done before."""
    unit.run(
        """
        INSERT INTO room_deletions (room_id, room_nid, stays_blocked, requested_ts_ms)
        VALUES (:room_id, :room_nid, :stays_blocked, :requested_ts_ms)
        ON CONFLICT (room_id) DO UPDATE
        SET room_nid = excluded.room_nid, stays_blocked = excluded.stays_blocked,
            requested_ts_ms = excluded.requested_ts_ms,
            emptied_ts_ms = NULL, done_ts_ms = NULL
        WHERE room_deletions.done_ts_ms IS NOT NULL
        """,
        room_id=deletion.room_id,
        room_nid=deletion.room_nid,
        stays_blocked=int(deletion.stays_blocked),
        requested_ts_ms=deletion.requested_ts_ms,
    )


def update_stays_blocked(unit: Unit, room_id: RoomId) -> None:
    """Have a room that is being deleted stay blocked, whatever was asked at first."""
    unit.run(
        """
        UPDATE room_deletions SET stays_blocked = 1
        WHERE room_id = :room_id AND done_ts_ms IS NULL
        """,
        room_id=room_id,
    )


def update_emptied(unit: Unit, room_id: RoomId, *, ts_ms: int) -> None:
    """Record that none of our users is in the room any more."""
    unit.run(
        """
        UPDATE room_deletions SET emptied_ts_ms = :ts_ms
        WHERE room_id = :room_id AND emptied_ts_ms IS NULL
        """,
        room_id=room_id,
        ts_ms=ts_ms,
    )


def update_done(unit: Unit, room_id: RoomId, *, ts_ms: int) -> None:
    """Record that nothing is left of the room."""
    unit.run(
        "UPDATE room_deletions SET done_ts_ms = :ts_ms WHERE room_id = :room_id",
        room_id=room_id,
        ts_ms=ts_ms,
    )


async def undone_deletions(db: Reader) -> list[Deletion]:
    """The deletions that are under way (room_deletions_undone)."""
    rows = await db.all(
        """
        SELECT room_id, room_nid, stays_blocked, requested_ts_ms, emptied_ts_ms,
               done_ts_ms
        FROM room_deletions WHERE done_ts_ms IS NULL ORDER BY room_id
        """
    )
    return [_deletion(row) for row in rows]


async def find_deletion(db: Reader, room_id: RoomId) -> Deletion | None:
    """The deletion of a room, be it done or not."""
    row = await db.first(
        """
        SELECT room_id, room_nid, stays_blocked, requested_ts_ms, emptied_ts_ms,
               done_ts_ms
        FROM room_deletions WHERE room_id = :room_id
        """,
        room_id=room_id,
    )
    return _deletion(row) if row else None


def _deletion(row: Row) -> Deletion:
    room_id, room_nid, stays_blocked, *times = row
    return Deletion(RoomId(room_id), room_nid, bool(stays_blocked), *times)
