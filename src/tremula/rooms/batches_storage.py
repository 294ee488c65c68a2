"""Queries on ``rooms_events`` for batches of messages (migrations/0002_rooms.sql)."""

from collections.abc import Sequence

from tremula.infra.db import Reader, Unit
from tremula.protocol.local_events import NO_SERVER_JSON
from tremula.rooms.events import StoredEvent


def insert_local_messages(
    unit: Unit, events: Sequence[StoredEvent], *, depth: int
) -> None:
    """Store new messages of a room that doesn't federate."""
    unit.run_many(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, room_pos, arrived_pos,
                                  depth, type, sender, origin_server_ts,
                                  client_json, server_json)
        VALUES (:event_nid, :event_id, :room_nid, :room_pos, :arrived_pos,
                :depth, :type, :sender, :origin_server_ts,
                :client_json, :server_json)
        """,
        [
            {
                "event_nid": stored.event_nid,
                "event_id": stored.event_id,
                "room_nid": stored.room_nid,
                "room_pos": stored.room_pos,
                "arrived_pos": stored.arrived_pos,
                "depth": depth,
                "type": stored.type,
                "sender": stored.sender,
                "origin_server_ts": stored.origin_server_ts,
                "client_json": stored.client_json,
                "server_json": NO_SERVER_JSON,
            }
            for stored in events
        ],
    )


async def places_of(
    db: Reader, event_ids: Sequence[str]
) -> dict[str, tuple[int, int | None]]:
    """``(room_nid, room_pos)`` of the stored ones of the events *event_ids* (at most
    500), of any room.
    """
    rows = await db.scan(
        """
        SELECT event_id, room_nid, room_pos FROM rooms_events
        WHERE event_id IN :event_ids
        """,
        event_ids=list(event_ids),
    )
    return {event_id: (room_nid, pos) for event_id, room_nid, pos in rows}


async def oldest_message_pos(db: Reader, room_nid: int) -> int | None:
    """Where the first event of a timeline is that is no state (rooms_events_by_pos)."""
    row = await db.scan(
        """
        SELECT room_pos FROM rooms_events
        WHERE room_nid = :room_nid AND room_pos IS NOT NULL AND state_key IS NULL
        ORDER BY room_pos LIMIT 1
        """,
        room_nid=room_nid,
    )
    return int(row[0][0]) if row else None
