"""Queries on many rooms at once, of which none is loaded (0002_rooms.sql)."""

from collections.abc import Sequence
from typing import Final

from tremula.infra.db import Reader
from tremula.protocol.identifiers import UserId
from tremula.rooms.graph import LIVE_BRANCH
from tremula.rooms.state import MEMBER

FACT_TYPES: Final = ("m.room.create", "m.room.encryption", "m.room.name")


async def fact_events(
    db: Reader, room_nids: Sequence[int]
) -> list[tuple[int, str, bytes]]:
    """``(room_nid, type, client_json)`` of the state that lists are filtered by, of up
    to 500 rooms.
    """
    rows = await db.scan(
        """
        SELECT s.room_nid, s.type, e.client_json
        FROM rooms_current_state s
        JOIN rooms_events e ON e.event_nid = s.event_nid
        WHERE s.room_nid IN :nids AND s.type IN :types AND s.state_key = ''
        """,
        nids=list(room_nids),
        types=list(FACT_TYPES),
    )
    return [(nid, event_type, json) for nid, event_type, json in rows]


async def fact_events_at(
    db: Reader, room_nid: int, *, room_pos: int
) -> list[tuple[str, bytes]]:
    """``(type, client_json)`` of the same state as it was after *room_pos*."""
    rows = await db.all(
        """
        SELECT c.type, e.client_json
        FROM rooms_state_changes c
        LEFT JOIN rooms_events e ON e.event_nid = c.event_nid
        WHERE c.room_nid = :room_nid AND c.type IN :types AND c.state_key = ''
          AND c.branch = :branch AND c.room_pos <= :room_pos
        ORDER BY c.room_pos
        """,
        room_nid=room_nid,
        types=list(FACT_TYPES),
        branch=LIVE_BRANCH,
        room_pos=room_pos,
    )
    newest: dict[str, bytes | None] = dict(rows)
    return [(event_type, json) for event_type, json in newest.items() if json]


async def newest_of_types(
    db: Reader, room_nids: Sequence[int], types: Sequence[str]
) -> dict[int, int]:
    """The journal position of each room's newest live event of one of *types*, of up to
    500 rooms (rooms_events_by_pos).
    """
    rows = await db.scan(
        """
        SELECT r.room_nid,
               (SELECT COALESCE(e.arrived_pos, e.event_nid) FROM rooms_events e
                WHERE e.room_nid = r.room_nid AND e.room_pos > 0 AND e.type IN :types
                ORDER BY e.room_pos DESC LIMIT 1)
        FROM rooms_rooms r WHERE r.room_nid IN :nids
        """,
        nids=list(room_nids),
        types=list(types),
    )
    return {room_nid: pos or 0 for room_nid, pos in rows}


async def member_events_of(
    db: Reader, user_id: UserId, room_nids: Sequence[int]
) -> list[tuple[int, bytes]]:
    """``(room_nid, client_json)`` of all that a user ever was to up to 500 rooms."""
    rows = await db.all(
        """
        SELECT c.room_nid, e.client_json
        FROM rooms_state_changes c
        JOIN rooms_events e ON e.event_nid = c.event_nid
        WHERE c.room_nid IN :nids AND c.type = :member AND c.state_key = :user_id
          AND c.branch = :branch
        """,
        nids=list(room_nids),
        member=MEMBER,
        user_id=user_id,
        branch=LIVE_BRANCH,
    )
    return [(nid, json) for nid, json in rows]
