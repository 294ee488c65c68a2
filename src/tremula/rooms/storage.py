"""Queries on rooms, their state and their members (migrations/0002_rooms.sql).

``rooms_events`` has a module of its own: events_storage.
"""

from collections.abc import Sequence

import orjson
from msgspec import Struct

from tremula.infra.db import Params, Reader, Unit
from tremula.protocol.identifiers import RoomId, ServerName, UserId
from tremula.protocol.room_state import StateKey
from tremula.rooms.graph import LIVE_BRANCH
from tremula.rooms.state import MEMBER, StateEvent, member_content


class RoomRow(Struct, frozen=True):
    """A row of ``rooms_rooms``."""

    room_nid: int
    room_id: RoomId
    room_version: str


class UserRoom(Struct, frozen=True):
    """A row of ``rooms_memberships``: what one of our users is to a room.

    They have been that since the journal position ``began_pos``; ``event_nid`` may be
    that of a later event, which changed a name.
    """

    room_id: RoomId
    room_nid: int
    membership: str
    event_nid: int
    room_pos: int
    sender: str
    forgotten: bool
    began_pos: int = 0


def insert_room(unit: Unit, room: RoomRow) -> None:
    """Record a new room."""
    unit.run(
        """
        INSERT INTO rooms_rooms (room_nid, room_id, room_version)
        VALUES (:room_nid, :room_id, :room_version)
        """,
        room_nid=room.room_nid,
        room_id=room.room_id,
        room_version=room.room_version,
    )


def update_room_version(unit: Unit, room_nid: int, room_version: str) -> None:
    """Correct the version of a room of which nothing was known but from hearsay."""
    unit.run(
        """
        UPDATE rooms_rooms SET room_version = :room_version
        WHERE room_nid = :room_nid
        """,
        room_nid=room_nid,
        room_version=room_version,
    )


async def find_room(db: Reader, room_id: RoomId) -> RoomRow | None:
    """The room of this id, if this server knows it."""
    row = await db.first(
        """
        SELECT room_nid, room_id, room_version FROM rooms_rooms
        WHERE room_id = :room_id
        """,
        room_id=room_id,
    )
    return RoomRow(*row) if row else None


async def room_ids(db: Reader, nids: Sequence[int]) -> dict[int, RoomId]:
    """The ids of the rooms *nids* (at most 500)."""
    rows = await db.all(
        "SELECT room_nid, room_id FROM rooms_rooms WHERE room_nid IN :nids",
        nids=list(nids),
    )
    return {nid: RoomId(room_id) for nid, room_id in rows}


async def current_state(db: Reader, room_nid: int) -> list[StateEvent]:
    """The room's current state; member events without their profile."""
    members = await db.scan(
        """
        SELECT event_id, event_nid, room_pos, state_key, sender, membership
        FROM rooms_current_state
        WHERE room_nid = :room_nid AND type = :member
        """,
        room_nid=room_nid,
        member=MEMBER,
    )
    others = await db.scan(
        """
        SELECT s.event_id, s.event_nid, s.room_pos, s.type, s.state_key, s.sender,
               e.client_json
        FROM rooms_current_state s
        JOIN rooms_events e ON e.event_nid = s.event_nid
        WHERE s.room_nid = :room_nid AND s.type <> :member
        """,
        room_nid=room_nid,
        member=MEMBER,
    )
    return [
        StateEvent(event_id, nid, pos, MEMBER, key, sender, member_content(membership))
        for event_id, nid, pos, key, sender, membership in members
    ] + [
        StateEvent(
            event_id, nid, pos, type_, key, sender, orjson.loads(json)["content"]
        )
        for event_id, nid, pos, type_, key, sender, json in others
    ]


def write_state(unit: Unit, room_nid: int, event: StateEvent) -> None:
    """Make *event* the newest of its key."""
    entries = [_entry(room_nid, event)]
    unit.run_many(
        """
        INSERT INTO rooms_state_changes (room_nid, type, state_key, branch,
                                         room_pos, event_nid)
        VALUES (:room_nid, :type, :state_key, :branch, :room_pos, :event_nid)
        """,
        entries,
    )
    _upsert_entries(unit, entries)


def upsert_current_state(
    unit: Unit, room_nid: int, events: Sequence[StateEvent]
) -> None:
    """Put events into the newest state."""
    _upsert_entries(unit, [_entry(room_nid, event) for event in events])


def _upsert_entries(unit: Unit, entries: Sequence[Params]) -> None:
    unit.run_many(
        """
        INSERT INTO rooms_current_state (room_nid, type, state_key, event_nid,
                                         event_id, room_pos, sender, membership)
        VALUES (:room_nid, :type, :state_key, :event_nid,
                :event_id, :room_pos, :sender, :membership)
        ON CONFLICT (room_nid, type, state_key) DO UPDATE
        SET event_nid = excluded.event_nid,
            event_id = excluded.event_id,
            room_pos = excluded.room_pos,
            sender = excluded.sender,
            membership = excluded.membership
        """,
        entries,
    )


def insert_held_changes(
    unit: Unit, room_nid: int, changes: Sequence[tuple[StateKey, int, int]]
) -> None:
    """Record ``(key, room_pos, event_nid)`` on the live branch where nothing is."""
    unit.run_many(
        """
        INSERT INTO rooms_state_changes (room_nid, type, state_key, branch,
                                         room_pos, event_nid)
        VALUES (:room_nid, :type, :state_key, :branch, :room_pos, :event_nid)
        ON CONFLICT (room_nid, type, state_key, branch, room_pos) DO NOTHING
        """,
        [_older_change(room_nid, change) for change in changes],
    )


def upsert_changes(
    unit: Unit, room_nid: int, changes: Sequence[tuple[StateKey, int, int]]
) -> None:
    """Record ``(key, room_pos, event_nid)`` on the live branch."""
    unit.run_many(
        """
        INSERT INTO rooms_state_changes (room_nid, type, state_key, branch,
                                         room_pos, event_nid)
        VALUES (:room_nid, :type, :state_key, :branch, :room_pos, :event_nid)
        ON CONFLICT (room_nid, type, state_key, branch, room_pos) DO UPDATE
        SET event_nid = excluded.event_nid
        """,
        [_older_change(room_nid, change) for change in changes],
    )


def write_removed_state(
    unit: Unit, room_nid: int, key: StateKey, *, room_pos: int
) -> None:
    """Leave *key* without an event from *room_pos* on."""
    unit.run(
        """
        INSERT INTO rooms_state_changes (room_nid, type, state_key, branch,
                                         room_pos, event_nid)
        VALUES (:room_nid, :type, :state_key, :branch, :room_pos, 0)
        """,
        room_nid=room_nid,
        type=key[0],
        state_key=key[1],
        branch=LIVE_BRANCH,
        room_pos=room_pos,
    )
    delete_current_state(unit, room_nid, [key])


def delete_current_state(unit: Unit, room_nid: int, keys: Sequence[StateKey]) -> None:
    """Leave *keys* out of the newest state."""
    unit.run_many(
        """
        DELETE FROM rooms_current_state
        WHERE room_nid = :room_nid AND type = :type AND state_key = :state_key
        """,
        [
            {"room_nid": room_nid, "type": event_type, "state_key": state_key}
            for event_type, state_key in keys
        ],
    )


def _older_change(
    room_nid: int, change: tuple[StateKey, int, int]
) -> dict[str, object]:
    (event_type, state_key), room_pos, event_nid = change
    return {
        "room_nid": room_nid,
        "type": event_type,
        "state_key": state_key,
        "branch": LIVE_BRANCH,
        "room_pos": room_pos,
        "event_nid": event_nid,
    }


def _entry(room_nid: int, event: StateEvent) -> dict[str, object]:
    """What a change of the live branch and the newest state hold of *event*."""
    return {
        "room_nid": room_nid,
        "type": event.type,
        "state_key": event.state_key,
        "branch": LIVE_BRANCH,
        "event_nid": event.event_nid,
        "event_id": event.event_id,
        "room_pos": event.room_pos,
        "sender": event.sender,
        "membership": event.content["membership"] if event.type == MEMBER else None,
    }


async def state_nids_at(
    db: Reader, room_nid: int, *, room_pos: int
) -> dict[tuple[str, str], int]:
    """The state after the room's event at *room_pos*; reads all its changes."""
    rows = await db.scan(
        """
        SELECT type, state_key, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch AND room_pos <= :room_pos
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        branch=LIVE_BRANCH,
        room_pos=room_pos,
    )
    state = {(type_, state_key): nid for type_, state_key, nid in rows}
    return {key: nid for key, nid in state.items() if nid}


async def state_set_at(
    db: Reader, room_nid: int, *, room_pos: int
) -> dict[StateKey, int]:
    """The events that were set on the live branch at just one position
    (rooms_state_changes_by_pos).
    """
    rows = await db.scan(
        """
        SELECT type, state_key, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch AND room_pos = :room_pos
          AND event_nid <> 0
        """,
        room_nid=room_nid,
        branch=LIVE_BRANCH,
        room_pos=room_pos,
    )
    return {(event_type, state_key): nid for event_type, state_key, nid in rows}


async def changes_of_key(
    db: Reader, room_nid: int, key: tuple[str, str]
) -> list[tuple[int, int]]:
    """``(room_pos, event_nid)`` of every change of one state key, oldest first.

    An event_nid of 0 stands for none.
    """
    rows = await db.all(
        """
        SELECT room_pos, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND type = :type AND state_key = :state_key
          AND branch = :branch
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        type=key[0],
        state_key=key[1],
        branch=LIVE_BRANCH,
    )
    return [(pos, nid) for pos, nid in rows]


async def nids_of_keys_at(
    db: Reader, room_nid: int, event_type: str, keys: Sequence[str], *, room_pos: int
) -> dict[str, int]:
    """The events that state keys of one type had after *room_pos* (at most 500)."""
    rows = await db.all(
        """
        SELECT state_key, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND type = :type AND state_key IN :keys
          AND branch = :branch AND room_pos <= :room_pos
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        type=event_type,
        keys=list(keys),
        branch=LIVE_BRANCH,
        room_pos=room_pos,
    )
    nids: dict[str, int] = dict(rows)
    return {state_key: nid for state_key, nid in nids.items() if nid}


async def member_changes(
    db: Reader, room_nid: int, server_name: ServerName, *, from_pos: int
) -> list[tuple[int, UserId, int]]:
    """``(room_pos, user_id, event_nid)`` of what changed from a position on of the
    memberships of users whose ID ends like the server's name, oldest first.

    An event_nid of 0 stands for none.
    """
    rows = await db.scan(
        """
        SELECT room_pos, state_key, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch AND room_pos >= :from_pos
          AND type = :type AND state_key LIKE :ending
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        branch=LIVE_BRANCH,
        from_pos=from_pos,
        type=MEMBER,
        ending=f"%:{server_name}",
    )
    return [(pos, UserId(user_id), nid) for pos, user_id, nid in rows]


async def state_changes_between(
    db: Reader, room_nid: int, *, after_pos: int, before_pos: int
) -> dict[tuple[str, str], int]:
    """The keys whose state changed at positions between: the newest event of each
    (rooms_state_changes_by_pos). Those that have none any more are left out.
    """
    rows = await db.all(
        """
        SELECT type, state_key, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch
          AND room_pos > :after_pos AND room_pos < :before_pos
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        branch=LIVE_BRANCH,
        after_pos=after_pos,
        before_pos=before_pos,
    )
    state = {(type_, state_key): nid for type_, state_key, nid in rows}
    return {key: nid for key, nid in state.items() if nid}


async def rooms_shared_by(
    db: Reader, user_ids: Sequence[UserId]
) -> list[tuple[UserId, int, int]]:
    """``(user_id, room_nid, pos)`` of each room that one of the users (at most 500, of
    whatever server) is joined to, and any of ours: so it is at least since *pos*
    (rooms_current_state_joined, rooms_memberships_joined).
    """
    rows = await db.all(
        """
        SELECT s.state_key, s.room_nid, s.event_nid, (
            SELECT MIN(m.event_nid) FROM rooms_memberships m
            WHERE m.room_nid = s.room_nid AND m.membership = 'join'
        )
        FROM rooms_current_state s
        WHERE s.state_key IN :user_ids AND s.membership = 'join'
        """,
        user_ids=list(user_ids),
    )
    return [
        (UserId(user_id), room_nid, max(pos, our_pos))
        for user_id, room_nid, pos, our_pos in rows
        if our_pos is not None
    ]


async def joined_among(
    db: Reader, room_nids: Sequence[int], user_ids: Sequence[UserId]
) -> set[UserId]:
    """Which of the users are joined to one of the rooms (at most 500 each)."""
    rows = await db.all(
        """
        SELECT DISTINCT state_key FROM rooms_current_state
        WHERE state_key IN :user_ids AND room_nid IN :room_nids
          AND membership = 'join'
        """,
        user_ids=list(user_ids),
        room_nids=list(room_nids),
    )
    return {UserId(user_id) for (user_id,) in rows}


async def member_changes_after(
    db: Reader, room_nid: int, *, room_pos: int
) -> dict[UserId, int]:
    """How often the membership events of users changed after *room_pos*, be it to
    none (rooms_state_changes_by_pos).
    """
    rows = await db.scan(
        """
        SELECT state_key, COUNT(*) FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch AND room_pos > :room_pos
          AND type = :member
        GROUP BY state_key
        """,
        room_nid=room_nid,
        branch=LIVE_BRANCH,
        room_pos=room_pos,
        member=MEMBER,
    )
    return {UserId(user_id): count for user_id, count in rows}


def delete_whole_state(unit: Unit, room_nid: int) -> None:
    """Forget what a room's state is: it is none that can be read any more."""
    unit.run(
        "DELETE FROM rooms_current_state WHERE room_nid = :room_nid", room_nid=room_nid
    )


class ListedRoom(Struct, frozen=True):
    """A room as administrators find it in the list of all."""

    room_nid: int
    room_id: RoomId
    version: str
    joined_local_members: int


async def rooms_after(db: Reader, *, after: int, limit: int) -> list[ListedRoom]:
    """Rooms with a state, from past the number *after* (rooms_memberships_joined)."""
    rows = await db.scan(
        """
        SELECT r.room_nid, r.room_id, r.room_version, (
            SELECT COUNT(*) FROM rooms_memberships m
            WHERE m.room_nid = r.room_nid AND m.membership = 'join'
        )
        FROM rooms_rooms r
        WHERE r.room_nid > :after AND EXISTS (
            SELECT 1 FROM rooms_current_state s
            WHERE s.room_nid = r.room_nid AND s.type = 'm.room.create'
        )
        ORDER BY r.room_nid LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [ListedRoom(*row) for row in rows]
