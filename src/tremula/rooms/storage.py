"""Queries on ``rooms_…`` (created in migrations/0002_rooms.sql)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.events import StoredEvent
from tremula.rooms.state import MEMBER, StateEvent, member_content

LIVE_BRANCH = 0


@dataclass(frozen=True, slots=True)
class RoomRow:
    """A row of ``rooms_rooms``."""

    room_nid: int
    room_id: RoomId
    room_version: str


@dataclass(frozen=True, slots=True)
class UserRoom:
    """A row of ``rooms_memberships``: what one of our users is to a room."""

    room_id: RoomId
    room_nid: int
    membership: str
    event_nid: int
    room_pos: int
    sender: str
    forgotten: bool


@dataclass(frozen=True, slots=True)
class NewestEvent:
    """What a room's next event is built upon."""

    event_id: EventId
    room_pos: int
    depth: int


# --- rooms


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


async def find_newest(db: Reader, room_nid: int) -> NewestEvent | None:
    """The room's newest event."""
    row = await db.first(
        """
        SELECT event_id, room_pos, depth FROM rooms_events
        WHERE room_nid = :room_nid ORDER BY room_pos DESC LIMIT 1
        """,
        room_nid=room_nid,
    )
    return NewestEvent(*row) if row else None


# --- state


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
    unit.run(
        """
        INSERT INTO rooms_state_changes (room_nid, type, state_key, branch,
                                         room_pos, event_nid)
        VALUES (:room_nid, :type, :state_key, :branch, :room_pos, :event_nid)
        """,
        room_nid=room_nid,
        type=event.type,
        state_key=event.state_key,
        branch=LIVE_BRANCH,
        room_pos=event.room_pos,
        event_nid=event.event_nid,
    )
    unit.run(
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
        room_nid=room_nid,
        type=event.type,
        state_key=event.state_key,
        event_nid=event.event_nid,
        event_id=event.event_id,
        room_pos=event.room_pos,
        sender=event.sender,
        membership=event.content["membership"] if event.type == MEMBER else None,
    )


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
    return {(type_, state_key): nid for type_, state_key, nid in rows}


async def changes_of_key(
    db: Reader, room_nid: int, key: tuple[str, str]
) -> list[tuple[int, int]]:
    """``(room_pos, event_nid)`` of every change of one state key, oldest first."""
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
    return dict(rows)


async def state_changes_since(
    db: Reader, room_nid: int, *, since_nid: int, before_pos: int
) -> dict[tuple[str, str], int]:
    """The keys whose state changed after the journal position *since_nid* and before
    *before_pos*: the newest event of each (rooms_events_state_by_pos).
    """
    rows = await db.all(
        """
        SELECT type, state_key, event_nid FROM rooms_events
        WHERE room_nid = :room_nid AND state_key IS NOT NULL
          AND event_nid > :since_nid AND room_pos < :before_pos
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        since_nid=since_nid,
        before_pos=before_pos,
    )
    return {(type_, state_key): nid for type_, state_key, nid in rows}


# --- events


def insert_event(
    unit: Unit,
    stored: StoredEvent,
    built: BuiltEvent,
) -> None:
    """Store an event that was just built."""
    unit.run(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, room_pos, depth,
                                  type, state_key, sender, origin_server_ts,
                                  client_json, server_json, replaces_nid,
                                  device_id, txn_id)
        VALUES (:event_nid, :event_id, :room_nid, :room_pos, :depth,
                :type, :state_key, :sender, :origin_server_ts,
                :client_json, :server_json, :replaces_nid,
                :device_id, :txn_id)
        """,
        event_nid=stored.event_nid,
        event_id=stored.event_id,
        room_nid=stored.room_nid,
        room_pos=stored.room_pos,
        depth=built.event.depth,
        type=stored.type,
        state_key=stored.state_key,
        sender=stored.sender,
        origin_server_ts=stored.origin_server_ts,
        client_json=stored.client_json,
        server_json=built.server_json,
        replaces_nid=stored.replaces_nid,
        device_id=stored.device_id,
        txn_id=stored.txn_id,
    )


def update_redacted(
    unit: Unit, event_nid: int, *, client_json: bytes, redacted_by_nid: int
) -> None:
    """Replace an event's content by what redaction leaves of it."""
    unit.run(
        """
        UPDATE rooms_events
        SET client_json = :client_json, redacted_by_nid = :redacted_by_nid
        WHERE event_nid = :event_nid
        """,
        event_nid=event_nid,
        client_json=client_json,
        redacted_by_nid=redacted_by_nid,
    )


def stored_event(row: Row) -> StoredEvent:
    """A row of the columns that every read of ``rooms_events`` below selects."""
    return StoredEvent(*row)


async def events_by_nids(db: Reader, nids: Sequence[int]) -> list[StoredEvent]:
    """The events *nids* (at most 500), in no order."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id
        FROM rooms_events WHERE event_nid IN :nids
        """,
        nids=list(nids),
    )
    return [stored_event(row) for row in rows]


async def event_by_id(db: Reader, event_id: EventId) -> StoredEvent | None:
    """The event of this id."""
    row = await db.first(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id
        FROM rooms_events WHERE event_id = :event_id
        """,
        event_id=event_id,
    )
    return stored_event(row) if row else None


async def events_backwards(
    db: Reader, room_nid: int, *, before: int, after: int, limit: int
) -> list[StoredEvent]:
    """Events in positions ``(after, before)``, newest first (rooms_events_by_pos)."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id
        FROM rooms_events
        WHERE room_nid = :room_nid AND room_pos < :before AND room_pos > :after
        ORDER BY room_pos DESC LIMIT :limit
        """,
        room_nid=room_nid,
        before=before,
        after=after,
        limit=limit,
    )
    return [stored_event(row) for row in rows]


async def events_forwards(
    db: Reader, room_nid: int, *, after: int, before: int, limit: int
) -> list[StoredEvent]:
    """Events in positions ``(after, before)``, oldest first (rooms_events_by_pos)."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id
        FROM rooms_events
        WHERE room_nid = :room_nid AND room_pos > :after AND room_pos < :before
        ORDER BY room_pos LIMIT :limit
        """,
        room_nid=room_nid,
        after=after,
        before=before,
        limit=limit,
    )
    return [stored_event(row) for row in rows]


async def newest_pos_up_to(db: Reader, room_nid: int, *, event_nid: int) -> int:
    """The position of the room's newest live event at journal position *event_nid*.

    Live events are in journal order: this walks back from the newest one.
    """
    row = await db.first(
        """
        SELECT room_pos FROM rooms_events
        WHERE room_nid = :room_nid AND event_nid <= :event_nid AND room_pos > 0
        ORDER BY room_pos DESC LIMIT 1
        """,
        room_nid=room_nid,
        event_nid=event_nid,
    )
    return int(row[0]) if row else 0


async def newest_nids(db: Reader, nids: Sequence[int]) -> dict[int, int]:
    """The newest live event of each of the rooms *nids* (at most 500)."""
    rows = await db.all(
        """
        SELECT r.room_nid,
               (SELECT e.event_nid FROM rooms_events e
                WHERE e.room_nid = r.room_nid AND e.room_pos > 0
                ORDER BY e.room_pos DESC LIMIT 1)
        FROM rooms_rooms r WHERE r.room_nid IN :nids
        """,
        nids=list(nids),
    )
    return {room_nid: nid or 0 for room_nid, nid in rows}


async def event_at_or_after_ts(
    db: Reader, room_nid: int, ts_ms: int, *, limit: int
) -> list[StoredEvent]:
    """Events sent at *ts_ms* or later, closest first (rooms_events_by_ts)."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id
        FROM rooms_events
        WHERE room_nid = :room_nid AND origin_server_ts >= :ts_ms
        ORDER BY origin_server_ts, room_pos LIMIT :limit
        """,
        room_nid=room_nid,
        ts_ms=ts_ms,
        limit=limit,
    )
    return [stored_event(row) for row in rows]


async def event_at_or_before_ts(
    db: Reader, room_nid: int, ts_ms: int, *, limit: int
) -> list[StoredEvent]:
    """Events sent at *ts_ms* or earlier, closest first (rooms_events_by_ts)."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id
        FROM rooms_events
        WHERE room_nid = :room_nid AND origin_server_ts <= :ts_ms
        ORDER BY origin_server_ts DESC, room_pos DESC LIMIT :limit
        """,
        room_nid=room_nid,
        ts_ms=ts_ms,
        limit=limit,
    )
    return [stored_event(row) for row in rows]


async def txns_of_device(
    db: Reader, room_nid: int, sender: UserId, device_id: str, *, limit: int
) -> list[tuple[str, str, str]]:
    """``(txn_id, type, event_id)`` that a device used in a room (rooms_events_by_txn)."""
    rows = await db.all(
        """
        SELECT txn_id, type, event_id FROM rooms_events
        WHERE room_nid = :room_nid AND sender = :sender AND device_id = :device_id
          AND txn_id IS NOT NULL
        LIMIT :limit
        """,
        room_nid=room_nid,
        sender=sender,
        device_id=device_id,
        limit=limit,
    )
    return [(txn_id, type_, event_id) for txn_id, type_, event_id in rows]


async def find_txn(
    db: Reader,
    room_nid: int,
    sender: UserId,
    device_id: str,
    txn_id: str,
    event_type: str,
) -> EventId | None:
    """The event that a device sent with this transaction id (rooms_events_by_txn)."""
    row = await db.first(
        """
        SELECT event_id FROM rooms_events
        WHERE room_nid = :room_nid AND sender = :sender AND device_id = :device_id
          AND txn_id = :txn_id AND type = :type
        """,
        room_nid=room_nid,
        sender=sender,
        device_id=device_id,
        txn_id=txn_id,
        type=event_type,
    )
    return EventId(row[0]) if row else None


# --- memberships


def upsert_membership(unit: Unit, user_id: UserId, room: UserRoom) -> None:
    """Record what one of our users is to a room; a new membership is not forgotten."""
    unit.run(
        """
        INSERT INTO rooms_memberships (user_id, room_nid, membership, event_nid,
                                       room_pos, sender, forgotten)
        VALUES (:user_id, :room_nid, :membership, :event_nid, :room_pos, :sender, 0)
        ON CONFLICT (user_id, room_nid) DO UPDATE
        SET membership = excluded.membership,
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
               m.sender, m.forgotten
        FROM rooms_memberships m JOIN rooms_rooms r ON r.room_nid = m.room_nid
        WHERE m.user_id = :user_id
        """,
        user_id=user_id,
    )
    return [
        UserRoom(RoomId(room_id), nid, membership, event_nid, pos, sender, bool(gone))
        for room_id, nid, membership, event_nid, pos, sender, gone in rows
    ]
