"""Queries on ``rooms_relations`` and ``rooms_threads``.

Both are created in migrations/0028_relations.sql, which says what is in them.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.relations import Relation

# Each kind by its own range of the index: nothing else that relates to it is read.
_AGGREGATED: Final = """
    SELECT 'm.replace', parent_id, sender, event_id, event_nid, room_pos, 1
    FROM (
        SELECT r.parent_id, r.event_nid, r.room_pos, e.sender, e.event_id,
               RANK() OVER (
                   PARTITION BY r.parent_id ORDER BY e.origin_server_ts DESC
               ) AS place
        FROM rooms_relations r
        JOIN rooms_events e ON e.event_nid = r.event_nid
        JOIN rooms_events p ON p.event_id = r.parent_id
        WHERE r.room_nid = :room_nid AND r.parent_id IN :parent_ids
          AND r.rel_type = 'm.replace'
          AND r.room_pos >= :first AND r.room_pos <= :last
          AND e.sender = p.sender AND e.type = p.type AND p.state_key IS NULL
    ) AS edits
    WHERE place = 1
    UNION ALL
    SELECT 'm.reference', n.parent_id, e.sender, e.event_id, n.event_nid,
           n.room_pos, 1
    FROM (
        SELECT r.parent_id, r.event_nid, r.room_pos,
               RANK() OVER (
                   PARTITION BY r.parent_id ORDER BY r.room_pos DESC
               ) AS place
        FROM rooms_relations r
        WHERE r.room_nid = :room_nid AND r.parent_id IN :parent_ids
          AND r.rel_type = 'm.reference'
          AND r.room_pos >= :first AND r.room_pos <= :last
    ) AS n
    JOIN rooms_events e ON e.event_nid = n.event_nid
    WHERE n.place <= :references_max
    UNION ALL
    SELECT 'm.thread', t.root_id, t.sender, '', r.event_nid, t.newest_pos, t.count
    FROM rooms_threads t
    JOIN rooms_relations r
        ON r.room_nid = t.room_nid AND r.parent_id = t.root_id
        AND r.rel_type = 'm.thread' AND r.room_pos = t.newest_pos
    WHERE t.room_nid = :room_nid AND t.root_id IN :parent_ids
"""


class Child(Struct, frozen=True):
    """What an aggregation is made of: an edit of its parent, or a reference to it."""

    parent_id: EventId
    rel_type: str
    room_pos: int
    event_nid: int
    event_id: EventId
    sender: UserId


class Participant(Struct, frozen=True):
    """Who takes part in a thread, with how many events, and the newest of them."""

    root_id: EventId
    sender: UserId
    count: int
    room_pos: int
    event_nid: int


class Activity(Struct, frozen=True):
    """Something was said in a thread, at a place."""

    root_nid: int
    room_pos: int


class RelatedRequest(Struct, frozen=True):
    """What relates to *parent_id* by at most *depth_max* steps, all of which are of the
    *rel_type* and *event_type* (``""``: any), in the positions *span*, ends included.
    """

    room_nid: int
    parent_id: EventId
    rel_type: str
    event_type: str
    depth_max: int
    span: tuple[int, int]


def insert_relation(
    unit: Unit,
    room_nid: int,
    relation: Relation,
    *,
    room_pos: int,
    event_nid: int,
) -> None:
    """Record that the event *event_nid*, at *room_pos*, relates to another."""
    unit.run(
        """
        INSERT INTO rooms_relations (room_nid, parent_id, rel_type, room_pos, event_nid)
        VALUES (:room_nid, :parent_id, :rel_type, :room_pos, :event_nid)
        """,
        room_nid=room_nid,
        parent_id=relation.event_id,
        rel_type=relation.rel_type,
        room_pos=room_pos,
        event_nid=event_nid,
    )


def delete_relation(
    unit: Unit, room_nid: int, relation: Relation, *, room_pos: int
) -> None:
    """Forget the relation of the event at *room_pos*."""
    unit.run(
        """
        DELETE FROM rooms_relations
        WHERE room_nid = :room_nid AND parent_id = :parent_id
          AND rel_type = :rel_type AND room_pos = :room_pos
        """,
        room_nid=room_nid,
        parent_id=relation.event_id,
        rel_type=relation.rel_type,
        room_pos=room_pos,
    )


def upsert_participant(
    unit: Unit, room_nid: int, root_id: EventId, sender: UserId, *, room_pos: int
) -> None:
    """Count an event of *sender* in a thread."""
    unit.run(
        """
        INSERT INTO rooms_threads (room_nid, root_id, sender, count, newest_pos)
        VALUES (:room_nid, :root_id, :sender, 1, :room_pos)
        ON CONFLICT (room_nid, root_id, sender) DO UPDATE
        SET count = rooms_threads.count + 1,
            newest_pos = CASE WHEN excluded.newest_pos > rooms_threads.newest_pos
                THEN excluded.newest_pos ELSE rooms_threads.newest_pos END
        """,
        room_nid=room_nid,
        root_id=root_id,
        sender=sender,
        room_pos=room_pos,
    )


def recount_participant(
    unit: Unit, room_nid: int, root_id: EventId, sender: UserId
) -> None:
    """Count the events of *sender* in a thread anew."""
    unit.run(
        """
        DELETE FROM rooms_threads
        WHERE room_nid = :room_nid AND root_id = :root_id AND sender = :sender
        """,
        room_nid=room_nid,
        root_id=root_id,
        sender=sender,
    )
    unit.run(
        """
        INSERT INTO rooms_threads (room_nid, root_id, sender, count, newest_pos)
        SELECT r.room_nid, r.parent_id, e.sender, COUNT(*), MAX(r.room_pos)
        FROM rooms_relations r
        JOIN rooms_events e ON e.event_nid = r.event_nid
        WHERE r.room_nid = :room_nid AND r.parent_id = :root_id
          AND r.rel_type = 'm.thread' AND e.sender = :sender
        GROUP BY r.room_nid, r.parent_id, e.sender
        """,
        room_nid=room_nid,
        root_id=root_id,
        sender=sender,
    )


async def aggregated(
    db: Reader,
    room_nid: int,
    parent_ids: Sequence[EventId],
    *,
    span: tuple[int, int],
    references_max: int,
) -> tuple[list[Child], list[Participant]]:
    """Of the events *parent_ids* (at most 500): the newest valid edit of each, or all
    that are equally new; the newest references; who takes part in its thread.

    Children count if they are in the positions *span*; threads count as a whole.
    """
    rows = await db.all(
        _AGGREGATED,
        room_nid=room_nid,
        parent_ids=list(parent_ids),
        first=span[0],
        last=span[1],
        references_max=references_max,
    )
    children, participants = [], []
    for rel_type, parent_id, sender, event_id, nid, room_pos, count in rows:
        if rel_type == "m.thread":
            participants.append(Participant(parent_id, sender, count, room_pos, nid))
        else:
            children.append(Child(parent_id, rel_type, room_pos, nid, event_id, sender))
    return children, participants


async def participants_within(
    db: Reader, room_nid: int, root_ids: Sequence[EventId], *, span: tuple[int, int]
) -> list[Participant]:
    """Who took part in the threads *root_ids* (at most 500) in the positions *span*,
    ends included. Reads all events of the threads.
    """
    rows = await db.scan(
        """
        SELECT t.root_id, t.sender, t.count, t.newest_pos, r.event_nid
        FROM (
            SELECT r.parent_id AS root_id, e.sender, COUNT(*) AS count,
                   MAX(r.room_pos) AS newest_pos
            FROM rooms_relations r
            JOIN rooms_events e ON e.event_nid = r.event_nid
            WHERE r.room_nid = :room_nid AND r.parent_id IN :root_ids
              AND r.rel_type = 'm.thread'
              AND r.room_pos >= :first AND r.room_pos <= :last
            GROUP BY r.parent_id, e.sender
        ) AS t CROSS JOIN rooms_relations r
        WHERE r.room_nid = :room_nid AND r.parent_id = t.root_id
          AND r.rel_type = 'm.thread' AND r.room_pos = t.newest_pos
        """,
        room_nid=room_nid,
        root_ids=list(root_ids),
        first=span[0],
        last=span[1],
    )
    return [Participant(*row) for row in rows]


async def activity_before(
    db: Reader, room_nid: int, *, before: int, limit: int
) -> list[Activity]:
    """When each participant of each thread last said something, up to *before*, newest
    first (rooms_threads_by_pos). Roots that are not here are left out.
    """
    rows = await db.scan(
        """
        SELECT e.event_nid, t.newest_pos
        FROM rooms_threads t
        JOIN rooms_events e ON e.event_id = t.root_id
            AND e.room_nid = t.room_nid AND e.room_pos IS NOT NULL
        WHERE t.room_nid = :room_nid AND t.newest_pos <= :before
        ORDER BY t.newest_pos DESC LIMIT :limit
        """,
        room_nid=room_nid,
        before=before,
        limit=limit,
    )
    return [Activity(*row) for row in rows]


async def activity_within(
    db: Reader, room_nid: int, *, span: tuple[int, int], before: int, limit: int
) -> list[Activity]:
    """As `activity_before`, by what was said in the positions *span*, ends included.

    Reads all threads of the room.
    """
    rows = await db.scan(
        """
        SELECT e.event_nid, t.newest_pos
        FROM (
            SELECT r.parent_id AS root_id, MAX(r.room_pos) AS newest_pos
            FROM rooms_relations r
            JOIN rooms_events child ON child.event_nid = r.event_nid
            WHERE r.room_nid = :room_nid AND r.rel_type = 'm.thread'
              AND r.room_pos >= :first AND r.room_pos <= :last
            GROUP BY r.parent_id, child.sender
            HAVING MAX(r.room_pos) <= :before
        ) AS t
        JOIN rooms_events e ON e.event_id = t.root_id
            AND e.room_nid = :room_nid AND e.room_pos IS NOT NULL
        ORDER BY t.newest_pos DESC LIMIT :limit
        """,
        room_nid=room_nid,
        first=span[0],
        last=span[1],
        before=before,
        limit=limit,
    )
    return [Activity(*row) for row in rows]


async def related(
    db: Reader, wanted: RelatedRequest, *, backwards: bool, limit: int
) -> list[int]:
    """The numbers of the events that are *wanted*, oldest first, or newest first if
    *backwards*. Reads all of them, in whatever positions.
    """
    rows = await db.scan(
        """
        WITH RECURSIVE related (event_id, event_nid, room_pos, depth) AS (
            SELECT e.event_id, e.event_nid, r.room_pos, 1
            FROM rooms_relations r
            JOIN rooms_events e ON e.event_nid = r.event_nid
            WHERE r.room_nid = :room_nid AND r.parent_id = :parent_id
              AND (:rel_type = '' OR r.rel_type = :rel_type)
              AND (:event_type = '' OR e.type = :event_type)
            UNION ALL
            SELECT e.event_id, e.event_nid, r.room_pos, related.depth + 1
            FROM related CROSS JOIN rooms_relations r CROSS JOIN rooms_events e
            WHERE related.depth < :depth_max
              AND r.room_nid = :room_nid AND r.parent_id = related.event_id
              AND e.event_nid = r.event_nid
              AND (:rel_type = '' OR r.rel_type = :rel_type)
              AND (:event_type = '' OR e.type = :event_type)
        )
        SELECT DISTINCT room_pos * :direction AS place, event_nid FROM related
        WHERE room_pos >= :first AND room_pos <= :last
        ORDER BY place LIMIT :limit
        """,
        room_nid=wanted.room_nid,
        parent_id=wanted.parent_id,
        rel_type=wanted.rel_type,
        event_type=wanted.event_type,
        depth_max=wanted.depth_max,
        first=wanted.span[0],
        last=wanted.span[1],
        direction=-1 if backwards else 1,
        limit=limit,
    )
    return [nid for _, nid in rows]
