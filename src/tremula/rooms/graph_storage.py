"""Queries on the event graph: branches, forward extremities and gaps, and what of
``rooms_events`` only the graph needs (migrations/0002_rooms.sql).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.room_state import StateKey
from tremula.rooms.graph import LIVE_BRANCH, Extremity, Node, Place, Standing

LIST_MAX: Final = 500
"""How many events one query here is given at most."""

_Rows = list[tuple[StateKey, int]]


# Events


def _node(row: Row) -> Node:
    *columns, standing, branch, branch_pos = row
    nid, event_id, room_nid, room_pos, depth, event_type, state_key, replaces = columns
    place = None
    if branch is not None:
        place = Place(branch, branch_pos)
    elif room_pos is not None and standing != Standing.BACKFILLED:
        place = Place(LIVE_BRANCH, room_pos)
    return Node(
        nid=nid,
        event_id=EventId(event_id),
        room_nid=room_nid,
        room_pos=room_pos,
        depth=depth,
        standing=Standing(standing),
        place=place,
        type=event_type,
        state_key=state_key,
        replaces_nid=replaces,
    )


async def nodes_by_ids(db: Reader, event_ids: Collection[str]) -> dict[EventId, Node]:
    """The stored ones of the events *event_ids* (at most `LIST_MAX`), of any room."""
    rows = await db.all(
        """
        SELECT event_nid, event_id, room_nid, room_pos, depth, type, state_key,
               replaces_nid, standing, branch, branch_pos
        FROM rooms_events WHERE event_id IN :event_ids
        """,
        event_ids=list(event_ids),
    )
    return {node.event_id: node for node in map(_node, rows)}


async def nids_by_ids(db: Reader, event_ids: Collection[str]) -> dict[str, int]:
    """The numbers of the events *event_ids* (at most `LIST_MAX`), of any room."""
    rows = await db.all(
        "SELECT event_id, event_nid FROM rooms_events WHERE event_id IN :event_ids",
        event_ids=list(event_ids),
    )
    return dict(rows)


async def ids_by_nids(db: Reader, nids: Collection[int]) -> dict[int, EventId]:
    """The IDs of the events *nids* (at most `LIST_MAX`)."""
    rows = await db.all(
        "SELECT event_nid, event_id FROM rooms_events WHERE event_nid IN :nids",
        nids=list(nids),
    )
    return {nid: EventId(event_id) for nid, event_id in rows}


async def server_parts(db: Reader, nids: Collection[int]) -> list[Row]:
    """``(event_nid, type, state_key, server_json)`` of *nids* (at most `LIST_MAX`)."""
    return await db.all(
        """
        SELECT event_nid, type, state_key, server_json
        FROM rooms_events WHERE event_nid IN :nids
        """,
        nids=list(nids),
    )


class Signed(Struct, frozen=True):
    """What servers need of an event, now with our signature; it *was* without."""

    event_nid: int
    server_json: bytes
    was: bytes


def update_signed(unit: Unit, signed: Sequence[Signed]) -> None:
    """Add our signature to events that have none."""
    unit.run_many(
        """
        UPDATE rooms_events SET server_json = :server_json
        WHERE event_nid = :event_nid AND server_json = :was
        """,
        [asdict(each) for each in signed],
    )


async def whole_events(db: Reader, nids: Collection[int]) -> list[Row]:
    """``(event_nid, event_id, standing, client_json, server_json)`` of *nids* (at most
    `LIST_MAX`).
    """
    return await db.all(
        """
        SELECT event_nid, event_id, standing, client_json, server_json
        FROM rooms_events WHERE event_nid IN :nids
        """,
        nids=list(nids),
    )


# Branches


async def bases_of(db: Reader, room_nid: int, place: Place) -> list[Place]:
    """*place*, the place that its branch is based on, and so on to the live branch."""
    rows = await db.all(
        """
        WITH RECURSIVE chain (branch, pos, level) AS (
            SELECT CAST(:branch AS BIGINT), CAST(:pos AS BIGINT), 0
            UNION ALL
            SELECT b.base_branch, b.base_pos, c.level + 1
            FROM chain c
            JOIN rooms_branches b ON b.room_nid = :room_nid AND b.branch = c.branch
        )
        SELECT branch, pos FROM chain ORDER BY level
        """,
        room_nid=room_nid,
        branch=place.branch,
        pos=place.pos,
    )
    return [Place(branch, pos) for branch, pos in rows]


async def branch_changes(db: Reader, room_nid: int, place: Place) -> _Rows:
    """What a branch changes up to a position, oldest first; 0 for a removed event."""
    rows = await db.all(
        """
        SELECT type, state_key, event_nid FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch AND room_pos <= :pos
        ORDER BY room_pos
        """,
        room_nid=room_nid,
        branch=place.branch,
        pos=place.pos,
    )
    return [((event_type, state_key), nid) for event_type, state_key, nid in rows]


async def live_state_before_changes(db: Reader, room_nid: int, *, pos: int) -> _Rows:
    """Of the keys that the live branch changed after *pos*, what they had at *pos*;
    0 for none.
    """
    rows = await db.all(
        """
        SELECT c.type, c.state_key,
               (SELECT b.event_nid FROM rooms_state_changes b
                WHERE b.room_nid = :room_nid AND b.branch = :branch
                  AND b.type = c.type AND b.state_key = c.state_key
                  AND b.room_pos <= :pos
                ORDER BY b.room_pos DESC LIMIT 1)
        FROM (SELECT DISTINCT type, state_key FROM rooms_state_changes
              WHERE room_nid = :room_nid AND branch = :branch
                AND room_pos > :pos) c
        """,
        room_nid=room_nid,
        branch=LIVE_BRANCH,
        pos=pos,
    )
    return [((event_type, state_key), nid or 0) for event_type, state_key, nid in rows]


async def newest_branch_pos(db: Reader, room_nid: int, branch: int) -> int:
    """Where a branch changed last (rooms_state_changes_by_pos)."""
    row = await db.first(
        """
        SELECT room_pos FROM rooms_state_changes
        WHERE room_nid = :room_nid AND branch = :branch
        ORDER BY room_pos DESC LIMIT 1
        """,
        room_nid=room_nid,
        branch=branch,
    )
    return int(row[0]) if row else 0


def insert_branch(unit: Unit, room_nid: int, branch: int, base: Place) -> None:
    """Begin a branch at *base*."""
    unit.run(
        """
        INSERT INTO rooms_branches (room_nid, branch, base_branch, base_pos)
        VALUES (:room_nid, :branch, :base_branch, :base_pos)
        """,
        room_nid=room_nid,
        branch=branch,
        base_branch=base.branch,
        base_pos=base.pos,
    )


def insert_branch_changes(
    unit: Unit, room_nid: int, place: Place, changes: Mapping[StateKey, int]
) -> None:
    """Record what changes at *place*, which is on no live branch."""
    unit.run_many(
        """
        INSERT INTO rooms_state_changes (room_nid, type, state_key, branch,
                                         room_pos, event_nid)
        VALUES (:room_nid, :type, :state_key, :branch, :room_pos, :event_nid)
        """,
        [
            {
                "room_nid": room_nid,
                "type": event_type,
                "state_key": state_key,
                "branch": place.branch,
                "room_pos": place.pos,
                "event_nid": nid,
            }
            for (event_type, state_key), nid in changes.items()
        ],
    )


def fill_branches(
    unit: Unit, room_nid: int, state: Mapping[StateKey, int], *, from_pos: int
) -> None:
    """Where a branch that began after a journal position has no event at a key of
    *state*, it was not known that there is that one.
    """
    unit.run_many(
        """
        UPDATE rooms_state_changes SET event_nid = :event_nid
        WHERE room_nid = :room_nid AND type = :type AND state_key = :state_key
          AND branch > :from_pos AND event_nid = 0
        """,
        [
            {
                "room_nid": room_nid,
                "type": event_type,
                "state_key": state_key,
                "event_nid": nid,
                "from_pos": from_pos,
            }
            for (event_type, state_key), nid in state.items()
            if nid
        ],
    )


# Forward extremities


async def extremities(db: Reader, room_nid: int) -> list[Extremity]:
    """The recorded forward extremities; none for a room that is a list."""
    rows = await db.all(
        """
        SELECT e.event_nid, e.event_id, e.depth
        FROM rooms_extremities x JOIN rooms_events e ON e.event_nid = x.event_nid
        WHERE x.room_nid = :room_nid ORDER BY x.event_nid
        """,
        room_nid=room_nid,
    )
    return [Extremity(nid, EventId(event_id), depth) for nid, event_id, depth in rows]


def replace_extremities(
    unit: Unit, room_nid: int, nids: Sequence[int], *, were_recorded: bool
) -> None:
    """Record the forward extremities anew; nothing for a room that is a list."""
    if were_recorded:
        unit.run(
            "DELETE FROM rooms_extremities WHERE room_nid = :room_nid",
            room_nid=room_nid,
        )
    unit.run_many(
        """
        INSERT INTO rooms_extremities (room_nid, event_nid)
        VALUES (:room_nid, :event_nid)
        """,
        [{"room_nid": room_nid, "event_nid": nid} for nid in nids],
    )


# Gaps


async def missing_among(
    db: Reader, room_nid: int, event_ids: Collection[str]
) -> set[str]:
    """Those of *event_ids* that an accepted event names and that are not here."""
    rows = await db.all(
        """
        SELECT event_id FROM rooms_missing_events
        WHERE room_nid = :room_nid AND event_id IN :event_ids
        """,
        room_nid=room_nid,
        event_ids=list(event_ids),
    )
    return {event_id for (event_id,) in rows}


async def namers_of_missing(
    db: Reader, room_nid: int, event_ids: Collection[str]
) -> list[int]:
    """The accepted events that name any of *event_ids*, which are not here, as
    previous; `LIST_MAX` at most.
    """
    rows = await db.all(
        """
        SELECT DISTINCT named_by_nid FROM rooms_missing_events
        WHERE room_nid = :room_nid AND event_id IN :event_ids
        ORDER BY named_by_nid LIMIT :limit
        """,
        room_nid=room_nid,
        event_ids=list(event_ids),
        limit=LIST_MAX,
    )
    return [nid for (nid,) in rows]


async def newest_missing(
    db: Reader, room_nid: int, *, up_to: int, limit: int
) -> list[tuple[EventId, int]]:
    """``(event_id, room_pos)``: missing events and where the oldest events are that
    name them, as far as those are at *up_to* or before; the newest first.
    """
    rows = await db.all(
        """
        SELECT m.event_id, MIN(e.room_pos) AS pos
        FROM rooms_missing_events m JOIN rooms_events e ON e.event_nid = m.named_by_nid
        WHERE m.room_nid = :room_nid AND e.room_pos IS NOT NULL
        GROUP BY m.event_id HAVING MIN(e.room_pos) <= :up_to
        ORDER BY pos DESC LIMIT :limit
        """,
        room_nid=room_nid,
        up_to=up_to,
        limit=limit,
    )
    return [(EventId(event_id), pos) for event_id, pos in rows]


def replace_missing(
    unit: Unit,
    room_nid: int,
    event_ids: Collection[str],
    *,
    by: Collection[str],
    named_by_nid: int,
) -> None:
    """Events have arrived; other events are missing before them."""
    unit.run_many(
        """
        DELETE FROM rooms_missing_events
        WHERE room_nid = :room_nid AND event_id = :event_id
        """,
        [{"room_nid": room_nid, "event_id": each} for each in event_ids],
    )
    insert_missing(unit, room_nid, by, named_by_nid=named_by_nid)


def insert_missing(
    unit: Unit, room_nid: int, event_ids: Collection[str], *, named_by_nid: int
) -> None:
    """Record previous events that are not here."""
    unit.run_many(
        """
        INSERT INTO rooms_missing_events (room_nid, event_id, named_by_nid)
        VALUES (:room_nid, :event_id, :named_by_nid)
        """,
        [
            {"room_nid": room_nid, "event_id": each, "named_by_nid": named_by_nid}
            for each in event_ids
        ],
    )


def delete_missing(unit: Unit, room_nid: int, event_id: EventId) -> None:
    """An event has arrived that was missing."""
    unit.run(
        """
        DELETE FROM rooms_missing_events
        WHERE room_nid = :room_nid AND event_id = :event_id
        """,
        room_nid=room_nid,
        event_id=event_id,
    )


# Redactions before what they redact


async def early_redactions(
    db: Reader, room_nid: int, event_ids: Collection[str]
) -> dict[str, list[tuple[int, UserId, bool]]]:
    """``(nid, sender, has_power)`` of the redactions of *event_ids*, oldest first."""
    rows = await db.all(
        """
        SELECT event_id, redaction_nid, sender, has_power FROM rooms_early_redactions
        WHERE room_nid = :room_nid AND event_id IN :event_ids
        ORDER BY redaction_nid
        """,
        room_nid=room_nid,
        event_ids=list(event_ids),
    )
    found: dict[str, list[tuple[int, UserId, bool]]] = {}
    for event_id, nid, sender, has_power in rows:
        found.setdefault(event_id, []).append((nid, UserId(sender), bool(has_power)))
    return found


def insert_early_redaction(
    unit: Unit,
    room_nid: int,
    event_id: EventId,
    *,
    redaction_nid: int,
    sender: UserId,
    has_power: bool,
) -> None:
    """Record a redaction whose target is not here."""
    unit.run(
        """
        INSERT INTO rooms_early_redactions (room_nid, event_id, redaction_nid,
                                            sender, has_power)
        VALUES (:room_nid, :event_id, :redaction_nid, :sender, :has_power)
        """,
        room_nid=room_nid,
        event_id=event_id,
        redaction_nid=redaction_nid,
        sender=sender,
        has_power=int(has_power),
    )


def delete_early_redactions(unit: Unit, room_nid: int, event_id: EventId) -> None:
    """The target of redactions has arrived."""
    unit.run(
        """
        DELETE FROM rooms_early_redactions
        WHERE room_nid = :room_nid AND event_id = :event_id
        """,
        room_nid=room_nid,
        event_id=event_id,
    )
