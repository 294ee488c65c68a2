"""Queries on ``pushers_mailed_rooms`` (migrations/0030_pushers.sql)."""

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class MailedRoom(Struct, frozen=True):
    """When a user was mailed about a room, and for how long not to be again."""

    mailed_ts_ms: int
    interval_ms: int


def upsert_mailed_room(
    unit: Unit, user_id: UserId, pushkey: str, room_nid: int, room: MailedRoom
) -> None:
    """The user has been mailed about a room."""
    unit.run(
        """
        INSERT INTO pushers_mailed_rooms (user_id, pushkey, room_nid, mailed_ts_ms,
                                          interval_ms)
        VALUES (:user_id, :pushkey, :room_nid, :mailed_ts_ms, :interval_ms)
        ON CONFLICT (user_id, pushkey, room_nid) DO UPDATE
        SET mailed_ts_ms = excluded.mailed_ts_ms, interval_ms = excluded.interval_ms
        """,
        user_id=user_id,
        pushkey=pushkey,
        room_nid=room_nid,
        mailed_ts_ms=room.mailed_ts_ms,
        interval_ms=room.interval_ms,
    )


def delete_mailed_rooms(unit: Unit, user_id: UserId) -> None:
    """Forget what a user was mailed about."""
    unit.run(
        "DELETE FROM pushers_mailed_rooms WHERE user_id = :user_id", user_id=user_id
    )


async def mailed_rooms(
    db: Reader, user_id: UserId, pushkey: str
) -> dict[int, MailedRoom]:
    """The rooms that a user was mailed about at an address."""
    rows = await db.all(
        """
        SELECT room_nid, mailed_ts_ms, interval_ms FROM pushers_mailed_rooms
        WHERE user_id = :user_id AND pushkey = :pushkey
        """,
        user_id=user_id,
        pushkey=pushkey,
    )
    return {nid: MailedRoom(ts_ms, interval_ms) for nid, ts_ms, interval_ms in rows}
