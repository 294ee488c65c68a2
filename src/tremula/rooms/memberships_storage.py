"""Queries on ``rooms_memberships``: what each of our users is to which room."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.storage import UserRoom


def upsert_membership(unit: Unit, user_id: UserId, room: UserRoom) -> None:
    """Record what one of our users is to a room; a new membership is not forgotten."""
    unit.run(
        """
        INSERT INTO rooms_memberships (user_id, room_nid, membership, event_nid,
                                       room_pos, sender, forgotten, began_pos)
        VALUES (:user_id, :room_nid, :membership, :event_nid, :room_pos, :sender, 0,
                :event_nid)
        ON CONFLICT (user_id, room_nid) DO UPDATE
        SET began_pos = CASE
                WHEN rooms_memberships.membership = excluded.membership
                THEN rooms_memberships.began_pos ELSE excluded.began_pos END,
            membership = excluded.membership,
            event_nid = excluded.event_nid,
            room_pos = excluded.room_pos,
            sender = excluded.sender,
            forgotten = 0
        """,
        user_id=user_id,
        room_nid=room.room_nid,
        membership=room.membership,
        event_nid=room.event_nid,
        room_pos=room.room_pos,
        sender=room.sender,
    )


def update_forgotten(unit: Unit, user_id: UserId, room_nid: int) -> None:
    """Mark a room that the user has left as forgotten."""
    unit.run(
        """
        UPDATE rooms_memberships SET forgotten = 1
        WHERE user_id = :user_id AND room_nid = :room_nid
          AND membership IN ('leave', 'ban')
        """,
        user_id=user_id,
        room_nid=room_nid,
    )


async def memberships_of_user(db: Reader, user_id: UserId) -> list[UserRoom]:
    """All rooms that the user has ever had a membership in."""
    rows = await db.all(
        """
        SELECT r.room_id, m.room_nid, m.membership, m.event_nid, m.room_pos,
               m.sender, m.forgotten, m.began_pos
        FROM rooms_memberships m JOIN rooms_rooms r ON r.room_nid = m.room_nid
        WHERE m.user_id = :user_id
        """,
        user_id=user_id,
    )
    return [
        UserRoom(RoomId(room_id), nid, what, event_nid, pos, sender, bool(gone), began)
        for room_id, nid, what, event_nid, pos, sender, gone, began in rows
    ]


async def own_joined(db: Reader, room_nid: int) -> set[UserId]:
    """Our users who are joined to a room (rooms_memberships_joined)."""
    rows = await db.scan(
        """
        SELECT user_id FROM rooms_memberships
        WHERE room_nid = :room_nid AND membership = 'join'
        """,
        room_nid=room_nid,
    )
    return {UserId(user_id) for (user_id,) in rows}
