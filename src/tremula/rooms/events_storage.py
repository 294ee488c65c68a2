"""Queries on ``rooms_events`` (created in migrations/0002_rooms.sql)."""

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import EventId, UserId
from tremula.rooms.events import NOWHERE_POS, StoredEvent
from tremula.rooms.graph import Extremity, Place, Standing


class NewestEvent(Struct, frozen=True):
    """The newest event of a room's timeline."""

    event_nid: int
    event_id: EventId
    room_pos: int
    depth: int
    journal_pos: int

    @property
    def extremity(self) -> Extremity:
        """This event as the only forward extremity."""
        return Extremity(self.event_nid, self.event_id, self.depth)


class ServerPart(Struct, frozen=True):
    """What a row of ``rooms_events`` has beside the `StoredEvent`.

    ``place`` is None for live events, whose own ``room_pos`` is their place.
    """

    depth: int
    server_json: bytes
    standing: Standing = Standing.ACCEPTED
    place: Place | None = None


class Moment(Struct, frozen=True):
    """When an event was sent, and of events at one time, which comes first.

    ``event_nid`` is 0 for a moment that no event has.
    """

    ts_ms: int
    room_pos: int
    event_nid: int = 0


def insert_event(
    unit: Unit,
    stored: StoredEvent,
    part: ServerPart,
) -> None:
    """Store a new event."""
    place = part.place
    unit.run(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, room_pos, standing,
                                  branch, branch_pos, depth,
                                  type, state_key, sender, origin_server_ts,
                                  client_json, server_json, replaces_nid,
                                  redacted_by_nid, device_id, txn_id)
        VALUES (:event_nid, :event_id, :room_nid, :room_pos, :standing,
                :branch, :branch_pos, :depth,
                :type, :state_key, :sender, :origin_server_ts,
                :client_json, :server_json, :replaces_nid,
                :redacted_by_nid, :device_id, :txn_id)
        """,
        event_nid=stored.event_nid,
        event_id=stored.event_id,
        room_nid=stored.room_nid,
        room_pos=stored.room_pos if stored.is_in_timeline else None,
        standing=int(part.standing),
        branch=place.branch if place else None,
        branch_pos=place.pos if place else None,
        depth=part.depth,
        type=stored.type,
        state_key=stored.state_key,
        sender=stored.sender,
        origin_server_ts=stored.origin_server_ts,
        client_json=stored.client_json,
        server_json=part.server_json,
        replaces_nid=stored.replaces_nid,
        redacted_by_nid=stored.redacted_by_nid,
        device_id=stored.device_id,
        txn_id=stored.txn_id,
    )


def update_arrived(unit: Unit, stored: StoredEvent, part: ServerPart) -> None:
    """Give an event that was an outlier its place in the room."""
    unit.run(
        """
        UPDATE rooms_events
        SET room_pos = :room_pos, standing = :standing, branch = :branch,
            branch_pos = :branch_pos, arrived_pos = :arrived_pos,
            replaces_nid = :replaces_nid
        WHERE event_nid = :event_nid
        """,
        event_nid=stored.event_nid,
        room_pos=stored.room_pos if stored.is_in_timeline else None,
        standing=int(part.standing),
        branch=part.place.branch if part.place else None,
        branch_pos=part.place.pos if part.place else None,
        arrived_pos=stored.arrived_pos,
        replaces_nid=stored.replaces_nid,
    )


def update_backfilled(
    unit: Unit, event_nid: int, *, room_pos: int, arrived_pos: int
) -> None:
    """Give an event that is stored as an outlier a place in the room's past."""
    unit.run(
        """
        UPDATE rooms_events
        SET room_pos = :room_pos, standing = :standing, arrived_pos = :arrived_pos
        WHERE event_nid = :event_nid
        """,
        event_nid=event_nid,
        room_pos=room_pos,
        standing=int(Standing.BACKFILLED),
        arrived_pos=arrived_pos,
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


def replace_client_json(
    unit: Unit, event_nid: int, *, seen: bytes, client_json: bytes
) -> None:
    """Change what clients are shown of an event, where that was *seen*.

    If it is anything else by now, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        UPDATE rooms_events
        SET client_json = :client_json,
            room_nid = CASE WHEN client_json = :seen THEN room_nid END
        WHERE event_nid = :event_nid
        """,
        event_nid=event_nid,
        seen=seen,
        client_json=client_json,
    )


def stored_event(row: Row) -> StoredEvent:
    """A row of the columns that every read of ``rooms_events`` below selects."""
    event = StoredEvent(*row)
    if row[3] is None:
        event.room_pos = NOWHERE_POS
    return event


async def events_by_nids(db: Reader, nids: Sequence[int]) -> list[StoredEvent]:
    """The events *nids* (at most 500), in no order."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id, arrived_pos
        FROM rooms_events WHERE event_nid IN :nids
        """,
        nids=list(nids),
    )
    return [stored_event(row) for row in rows]


async def server_json(db: Reader, nids: Sequence[int]) -> dict[int, bytes]:
    """What only servers need of the events *nids* (at most 500)."""
    rows = await db.all(
        "SELECT event_nid, server_json FROM rooms_events WHERE event_nid IN :nids",
        nids=list(nids),
    )
    return dict(rows)


async def nth_pos_after(db: Reader, pos: int, count: int) -> int | None:
    """The journal position at which the event number *count* after *pos* was stored;
    None if there are fewer.
    """
    row = await db.first(
        """
        SELECT event_nid FROM rooms_events WHERE event_nid > :pos
        ORDER BY event_nid LIMIT 1 OFFSET :others
        """,
        pos=pos,
        others=count - 1,
    )
    return None if row is None else int(row[0])


async def stored_after(
    db: Reader, pos: int, *, up_to: int, types: Sequence[str], limit: int
) -> list[StoredEvent]:
    """Events of all rooms and of these types that were first stored after the journal
    position *pos*, in order; those that are only known from a state as well.
    """
    rows = await db.scan(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id, arrived_pos
        FROM rooms_events
        WHERE event_nid > :pos AND event_nid <= :up_to AND type IN :types
          AND standing <> :rejected
        ORDER BY event_nid LIMIT :limit
        """,
        pos=pos,
        up_to=up_to,
        types=list(types),
        rejected=int(Standing.REJECTED),
        limit=limit,
    )
    return [stored_event(row) for row in rows]


async def placed_after(
    db: Reader, pos: int, *, up_to: int, types: Sequence[str], limit: int
) -> list[StoredEvent]:
    """Events of all rooms and of these types that came into a timeline, the past as
    well, after the journal position *pos*, in the order in which they did
    (rooms_events_arrived).
    """
    rows = await db.scan(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id, arrived_pos
        FROM rooms_events
        WHERE event_nid > :pos AND event_nid <= :up_to AND type IN :types
          AND room_pos IS NOT NULL
          AND (arrived_pos IS NULL OR arrived_pos < event_nid)
        ORDER BY event_nid LIMIT :limit
        """,
        pos=pos,
        up_to=up_to,
        types=list(types),
        limit=limit,
    )
    arrived = await db.scan(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id, arrived_pos
        FROM rooms_events
        WHERE arrived_pos > :pos AND arrived_pos <= :up_to AND type IN :types
          AND room_pos IS NOT NULL AND arrived_pos >= event_nid
        ORDER BY arrived_pos LIMIT :limit
        """,
        pos=pos,
        up_to=up_to,
        types=list(types),
        limit=limit,
    )
    events = [stored_event(row) for row in (*rows, *arrived)]
    return sorted(events, key=attrgetter("placed_pos"))[:limit]


async def event_by_id(db: Reader, event_id: EventId) -> StoredEvent | None:
    """The event of this id."""
    row = await db.first(
        """
        SELECT event_nid, event_id, room_nid, room_pos, type, state_key, sender,
               origin_server_ts, client_json, replaces_nid, redacted_by_nid,
               device_id, txn_id, arrived_pos
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
               device_id, txn_id, arrived_pos
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
               device_id, txn_id, arrived_pos
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
        WHERE room_nid = :room_nid AND room_pos > 0
          AND COALESCE(arrived_pos, event_nid) <= :event_nid
        ORDER BY room_pos DESC LIMIT 1
        """,
        room_nid=room_nid,
        event_nid=event_nid,
    )
    return int(row[0]) if row else 0


async def newest_nids(db: Reader, nids: Sequence[int]) -> dict[int, int]:
    """The journal position of the newest live event of each of the rooms *nids*
    (at most 500), or that from which on all of its state was known.
    """
    rows = await db.all(
        """
        SELECT r.room_nid,
               (SELECT COALESCE(e.arrived_pos, e.event_nid) FROM rooms_events e
                WHERE e.room_nid = r.room_nid AND e.room_pos > 0
                ORDER BY e.room_pos DESC LIMIT 1),
               p.completed_pos
        FROM rooms_rooms r
        LEFT JOIN rooms_partial_states p ON p.room_nid = r.room_nid
        WHERE r.room_nid IN :nids
        """,
        nids=list(nids),
    )
    return {
        room_nid: max(event_nid or 0, completed_pos or 0)
        for room_nid, event_nid, completed_pos in rows
    }


async def moments_forwards(
    db: Reader, room_nid: int, *, after: Moment, span: tuple[int, int], limit: int
) -> list[Moment]:
    """Moments after *after* of events in the positions *span*, both included,
    earliest first (rooms_events_by_ts).
    """
    rows = await db.scan(
        """
        SELECT origin_server_ts, room_pos, event_nid FROM rooms_events
        WHERE room_nid = :room_nid
          AND (origin_server_ts, room_pos) > (:ts_ms, :room_pos)
          AND room_pos >= :first AND room_pos <= :last
        ORDER BY origin_server_ts, room_pos LIMIT :limit
        """,
        room_nid=room_nid,
        ts_ms=after.ts_ms,
        room_pos=after.room_pos,
        first=span[0],
        last=span[1],
        limit=limit,
    )
    return [Moment(*row) for row in rows]


async def moments_backwards(
    db: Reader, room_nid: int, *, before: Moment, span: tuple[int, int], limit: int
) -> list[Moment]:
    """Moments before *before* of events in the positions *span*, both included,
    latest first (rooms_events_by_ts).
    """
    rows = await db.scan(
        """
        SELECT origin_server_ts, room_pos, event_nid FROM rooms_events
        WHERE room_nid = :room_nid
          AND (origin_server_ts, room_pos) < (:ts_ms, :room_pos)
          AND room_pos >= :first AND room_pos <= :last
        ORDER BY origin_server_ts DESC, room_pos DESC LIMIT :limit
        """,
        room_nid=room_nid,
        ts_ms=before.ts_ms,
        room_pos=before.room_pos,
        first=span[0],
        last=span[1],
        limit=limit,
    )
    return [Moment(*row) for row in rows]


async def txns_of_device(
    db: Reader, room_nid: int, sender: UserId, device_id: str, *, limit: int
) -> list[tuple[str, str, str]]:
    """``(txn_id, type, event_id)`` of a device in a room (rooms_events_by_txn)."""
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


async def find_newest(db: Reader, room_nid: int) -> NewestEvent | None:
    """The newest event of the room's timeline."""
    row = await db.first(
        """
        SELECT event_nid, event_id, room_pos, depth,
            COALESCE(arrived_pos, event_nid)
        FROM rooms_events
        WHERE room_nid = :room_nid AND room_pos IS NOT NULL
        ORDER BY room_pos DESC LIMIT 1
        """,
        room_nid=room_nid,
    )
    return NewestEvent(*row) if row else None
