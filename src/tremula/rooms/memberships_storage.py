"""Queries on ``rooms_memberships``, what each of our users is to which room, and on who
is joined to rooms, whoever's user it is.
"""

from collections.abc import Sequence

from tremula.infra.db import Reader, Row, Unit
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


def update_forgotten(unit: Unit, user_id: UserId, seen: UserRoom) -> None:
    """Mark a room that the user has left as forgotten; the unit fails with `Conflict`
    if the membership is not the one that was seen.
    """
    unit.run(
        """
        UPDATE rooms_memberships
        SET forgotten = CASE WHEN event_nid = :event_nid THEN 1 END
        WHERE user_id = :user_id AND room_nid = :room_nid
        """,
        event_nid=seen.event_nid,
        user_id=user_id,
        room_nid=seen.room_nid,
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
    return [_user_room(row) for row in rows]


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


async def joins_after(
    db: Reader, user_id: str, room_nid: int, *, limit: int
) -> list[tuple[UserId, int, int]]:
    """``(user_id, room_nid, began_pos)`` of joined users of ours, in the order of the
    primary key: the first *limit* after *user_id* in *room_nid*.
    """
    rows = await db.scan(
        """
        SELECT user_id, room_nid, began_pos FROM rooms_memberships
        WHERE (user_id, room_nid) > (:user_id, :room_nid) AND membership = 'join'
        ORDER BY user_id, room_nid LIMIT :limit
        """,
        user_id=user_id,
        room_nid=room_nid,
        limit=limit,
    )
    return [(UserId(user_id), nid, began_pos) for user_id, nid, began_pos in rows]


async def newest_joins(
    db: Reader, room_nids: Sequence[int], user_ids: Sequence[UserId]
) -> dict[UserId, int]:
    """The newest member event of each of the users who is joined to one of the rooms
    (at most 500 each), by number (rooms_current_state_joined).
    """
    rows = await db.scan(
        """
        SELECT state_key, MAX(event_nid) FROM rooms_current_state
        WHERE state_key IN :user_ids AND room_nid IN :room_nids
          AND membership = 'join'
        GROUP BY state_key
        """,
        user_ids=list(user_ids),
        room_nids=list(room_nids),
    )
    return {UserId(user_id): event_nid for user_id, event_nid in rows}


async def our_rooms_with(
    db: Reader, user_ids: Sequence[UserId]
) -> list[tuple[UserId, int]]:
    """``(user_id, room_nid)`` of each room that one of the users (at most 500, of
    whatever server) is joined to, and any of ours (rooms_current_state_joined,
    rooms_memberships_joined).
    """
    rows = await db.scan(
        """
        SELECT s.state_key, s.room_nid
        FROM rooms_current_state s
        WHERE s.state_key IN :user_ids AND s.membership = 'join' AND EXISTS (
            SELECT 1 FROM rooms_memberships m
            WHERE m.room_nid = s.room_nid AND m.membership = 'join'
        )
        """,
        user_ids=list(user_ids),
    )
    return [(UserId(user_id), room_nid) for user_id, room_nid in rows]


async def openness_nids(db: Reader, room_nids: Sequence[int]) -> dict[int, int]:
    """The events that say whether the rooms (at most 500) are open to anybody, that is
    join rules and history visibility, and their rooms, all by number.
    """
    rows = await db.all(
        """
        SELECT event_nid, room_nid FROM rooms_current_state
        WHERE room_nid IN :room_nids AND state_key = ''
          AND type IN ('m.room.join_rules', 'm.room.history_visibility')
        """,
        room_nids=list(room_nids),
    )
    return dict(rows)


async def naming_nids(
    db: Reader, room_nids: Sequence[int], room_id: RoomId
) -> dict[int, int]:
    """The events of rooms (at most 500) that may name *room_id*, which are join rules
    and what makes it a child of a space, and their rooms, all by number.
    """
    rows = await db.all(
        """
        SELECT event_nid, room_nid FROM rooms_current_state
        WHERE room_nid IN :room_nids AND type IN ('m.room.join_rules', 'm.space.child')
          AND state_key IN ('', :room_id)
        """,
        room_nids=list(room_nids),
        room_id=room_id,
    )
    return dict(rows)


async def created_nids(
    db: Reader, room_nids: Sequence[int], creator: UserId
) -> dict[int, int]:
    """The create events of those of rooms (at most 500) that a user has made, and
    their rooms, by number.
    """
    rows = await db.all(
        """
        SELECT event_nid, room_nid FROM rooms_current_state
        WHERE room_nid IN :room_nids AND type = 'm.room.create' AND state_key = ''
          AND sender = :creator
        """,
        room_nids=list(room_nids),
        creator=creator,
    )
    return dict(rows)


async def users_not_gone(db: Reader, room_nid: int) -> list[UserId]:
    """Our users (at most 500) who are in a room, invited to it or knocking on it."""
    rows = await db.scan(
        """
        SELECT user_id FROM rooms_memberships
        WHERE room_nid = :room_nid AND membership IN ('join', 'invite', 'knock')
        ORDER BY user_id LIMIT 500
        """,
        room_nid=room_nid,
    )
    return [UserId(user_id) for (user_id,) in rows]


async def memberships_in(
    db: Reader, room_nid: int, *, after: str, limit: int
) -> list[tuple[UserId, UserRoom]]:
    """What our users are to a room, in order of their IDs, from past *after*."""
    rows = await db.scan(
        """
        SELECT m.user_id, r.room_id, m.room_nid, m.membership, m.event_nid, m.room_pos,
               m.sender, m.forgotten, m.began_pos
        FROM rooms_memberships m JOIN rooms_rooms r ON r.room_nid = m.room_nid
        WHERE m.room_nid = :room_nid AND m.user_id > :after
        ORDER BY m.user_id LIMIT :limit
        """,
        room_nid=room_nid,
        after=after,
        limit=limit,
    )
    return [(UserId(row[0]), _user_room(row[1:])) for row in rows]


def update_outside(unit: Unit, room_nid: int, user_ids: Sequence[UserId]) -> None:
    """Record that memberships (at most 500) stand in no timeline any more."""
    unit.run(
        """
        UPDATE rooms_memberships SET room_pos = 0
        WHERE room_nid = :room_nid AND user_id IN :user_ids
        """,
        room_nid=room_nid,
        user_ids=list(user_ids),
    )


def _user_room(row: Row) -> UserRoom:
    room_id, nid, what, event_nid, pos, sender, gone, began = row
    return UserRoom(
        RoomId(room_id), nid, what, event_nid, pos, sender, bool(gone), began
    )
