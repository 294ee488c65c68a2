"""Queries on partial states (migrations/0016_rooms_partial_states.sql)."""

from collections.abc import Mapping, Sequence

import orjson
from msgspec import Struct

from tremula.infra.backlog import Backlog
from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.room_state import StateKey
from tremula.rooms.graph import Place, Standing
from tremula.rooms.partial import PartialState


class DeferredEvent(Struct, frozen=True):
    """A row of ``rooms_deferred_events``; ``pdu`` is its JSON."""

    event_id: EventId
    origin: ServerName
    depth: int
    pdu: bytes


# Rooms


async def find_partial(
    db: Reader, room_nid: int
) -> tuple[PartialState, int | None] | None:
    """How a room was joined without its members, and from which journal position on
    all of its state has been known; None if it never was.
    """
    row = await db.first(
        """
        SELECT join_nid, base_pos, servers, completed_pos FROM rooms_partial_states
        WHERE room_nid = :room_nid
        """,
        room_nid=room_nid,
    )
    if row is None:
        return None
    join_nid, base_pos, servers, completed_pos = row
    names = tuple(map(ServerName, orjson.loads(servers)))
    return PartialState(join_nid, base_pos, names), completed_pos


async def partial_rooms(db: Reader) -> list[RoomId]:
    """The rooms of whose state a part is missing, or where events wait for it."""
    rows = await db.all(
        """
        SELECT r.room_id
        FROM rooms_partial_states p JOIN rooms_rooms r ON r.room_nid = p.room_nid
        WHERE p.completed_pos IS NULL OR EXISTS (
            SELECT 1 FROM rooms_deferred_events d WHERE d.room_nid = p.room_nid
        )
        ORDER BY p.join_nid
        """
    )
    return [RoomId(room_id) for (room_id,) in rows]


async def partial_backlog(db: Reader) -> Backlog:
    """Rooms of whose state a part is missing."""
    [row] = await db.scan(
        """
        SELECT COUNT(*), COUNT(*), MIN(e.origin_server_ts)
        FROM rooms_partial_states p JOIN rooms_events e ON e.event_nid = p.join_nid
        WHERE p.completed_pos IS NULL
        """
    )
    return Backlog(*row)


async def deferred_backlog(db: Reader) -> Backlog:
    """Events that cannot be judged before the state of their rooms is known."""
    [row] = await db.scan(
        "SELECT COUNT(*), COUNT(DISTINCT room_nid) FROM rooms_deferred_events"
    )
    return Backlog(*row)


def replace_partial(unit: Unit, room_nid: int, partial: PartialState | None) -> None:
    """Record that a room was joined, with a part of its state, or with all of it."""
    for statement in (
        "DELETE FROM rooms_partial_states WHERE room_nid = :room_nid",
        "DELETE FROM rooms_unproven_events WHERE room_nid = :room_nid",
        "DELETE FROM rooms_deferred_events WHERE room_nid = :room_nid",
    ):
        unit.run(statement, room_nid=room_nid)
    if partial is not None:
        unit.run(
            """
            INSERT INTO rooms_partial_states (room_nid, join_nid, base_pos, servers)
            VALUES (:room_nid, :join_nid, :base_pos, :servers)
            """,
            room_nid=room_nid,
            join_nid=partial.join_nid,
            base_pos=partial.base_pos,
            servers=orjson.dumps(partial.servers),
        )


def update_completed(unit: Unit, room_nid: int, *, pos: int) -> None:
    """Record that all of a room's state is known, and that nothing is unproven."""
    unit.run(
        """
        UPDATE rooms_partial_states SET completed_pos = :pos
        WHERE room_nid = :room_nid
        """,
        room_nid=room_nid,
        pos=pos,
    )
    unit.run(
        "DELETE FROM rooms_unproven_events WHERE room_nid = :room_nid",
        room_nid=room_nid,
    )


# Events that are judged again


def insert_unproven(unit: Unit, room_nid: int, event_nid: int) -> None:
    """Record an event that was judged without knowing all that decides."""
    unit.run(
        """
        INSERT INTO rooms_unproven_events (room_nid, event_nid)
        VALUES (:room_nid, :event_nid)
        """,
        room_nid=room_nid,
        event_nid=event_nid,
    )


async def unproven_events(db: Reader, room_nid: int) -> list[int]:
    """The numbers of those events."""
    rows = await db.all(
        """
        SELECT event_nid FROM rooms_unproven_events WHERE room_nid = :room_nid
        ORDER BY event_nid
        """,
        room_nid=room_nid,
    )
    return [nid for (nid,) in rows]


async def judged_after(db: Reader, room_nid: int, *, pos: int) -> list[int]:
    """The events of a room that came after a journal position and were judged by the
    state before them, in the order in which they came.
    """
    rows = await db.scan(
        """
        SELECT event_nid FROM rooms_events
        WHERE room_nid = :room_nid AND COALESCE(arrived_pos, event_nid) > :pos
          AND standing IN (:accepted, :soft_failed, :rejected)
          AND (room_pos IS NOT NULL OR branch IS NOT NULL)
        ORDER BY COALESCE(arrived_pos, event_nid)
        """,
        room_nid=room_nid,
        pos=pos,
        accepted=Standing.ACCEPTED,
        soft_failed=Standing.SOFT_FAILED,
        rejected=Standing.REJECTED,
    )
    return [nid for (nid,) in rows]


def update_judged(
    unit: Unit, event_nid: int, standing: Standing, place: Place, *, is_shown: bool
) -> None:
    """Correct how an event stands and where the state after it is found; take it out
    of the timeline unless it *is_shown*.
    """
    unit.run(
        """
        UPDATE rooms_events
        SET standing = :standing, branch = :branch, branch_pos = :branch_pos,
            room_pos = CASE WHEN :is_shown = 1 THEN room_pos ELSE NULL END
        WHERE event_nid = :event_nid
        """,
        event_nid=event_nid,
        standing=standing,
        branch=place.branch,
        branch_pos=place.pos,
        is_shown=int(is_shown),
    )


async def first_changes_after(
    db: Reader, room_nid: int, *, pos: int
) -> list[tuple[int, StateKey]]:
    """The state events that came after a journal position and replaced nothing that
    was known.
    """
    rows = await db.scan(
        """
        SELECT event_nid, type, state_key FROM rooms_events
        WHERE room_nid = :room_nid AND COALESCE(arrived_pos, event_nid) > :pos
          AND state_key IS NOT NULL AND replaces_nid IS NULL
          AND (room_pos IS NOT NULL OR branch IS NOT NULL)
          AND standing <> :backfilled
        """,
        room_nid=room_nid,
        pos=pos,
        backfilled=Standing.BACKFILLED,
    )
    return [(nid, (event_type, state_key)) for nid, event_type, state_key in rows]


def update_replaced(unit: Unit, replaced: Mapping[int, int]) -> None:
    """Correct which state event each of some events replaced."""
    unit.run_many(
        """
        UPDATE rooms_events SET replaces_nid = :replaces_nid
        WHERE event_nid = :event_nid
        """,
        [
            {"event_nid": nid, "replaces_nid": replaces_nid}
            for nid, replaces_nid in replaced.items()
        ],
    )


# Events that wait


async def deferred_count(db: Reader, room_nid: int) -> int:
    """How many events of a room wait for its state."""
    row = await db.first(
        "SELECT COUNT(*) FROM rooms_deferred_events WHERE room_nid = :room_nid",
        room_nid=room_nid,
    )
    return int(row[0]) if row else 0


async def deferred_events(db: Reader, room_nid: int) -> list[DeferredEvent]:
    """The events of a room that wait for its state, in the order of their depth."""
    rows = await db.all(
        """
        SELECT event_id, origin, depth, pdu FROM rooms_deferred_events
        WHERE room_nid = :room_nid ORDER BY depth, event_id
        """,
        room_nid=room_nid,
    )
    return [
        DeferredEvent(EventId(event_id), ServerName(origin), depth, pdu)
        for event_id, origin, depth, pdu in rows
    ]


def insert_deferred(unit: Unit, room_nid: int, event: DeferredEvent) -> None:
    """Let an event wait; nothing changes if it does so already."""
    unit.run(
        """
        INSERT INTO rooms_deferred_events (room_nid, event_id, origin, depth, pdu)
        VALUES (:room_nid, :event_id, :origin, :depth, :pdu)
        ON CONFLICT (room_nid, event_id) DO NOTHING
        """,
        room_nid=room_nid,
        event_id=event.event_id,
        origin=event.origin,
        depth=event.depth,
        pdu=event.pdu,
    )


def delete_deferred(unit: Unit, room_nid: int, events: Sequence[DeferredEvent]) -> None:
    """These events wait no more."""
    unit.run_many(
        """
        DELETE FROM rooms_deferred_events
        WHERE room_nid = :room_nid AND event_id = :event_id
        """,
        [{"room_nid": room_nid, "event_id": each.event_id} for each in events],
    )
