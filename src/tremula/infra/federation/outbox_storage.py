"""Queries on the outbox and on who is in which room (0014_federation_queues.sql).

Rooms and events are numbers here; what they are, only the caller knows.
"""

from collections.abc import Collection

from tremula.infra.db import Reader, Unit
from tremula.infra.federation.destination import Entry
from tremula.protocol.identifiers import ServerName


def insert_entry(unit: Unit, entry: Entry, *, room_nid: int, ts_ms: int) -> None:
    """Record an event for all servers in a room."""
    unit.run(
        """
        INSERT INTO federation_outbox (pos, room_nid, event_nid, ts_ms)
        VALUES (:pos, :room_nid, :event_nid, :ts_ms)
        """,
        pos=entry.pos,
        room_nid=room_nid,
        event_nid=entry.event_nid,
        ts_ms=ts_ms,
    )


def delete_old_entries(unit: Unit, *, before_ms: int) -> None:
    """Forget what is older than *before_ms*, but for the newest event of each room."""
    unit.run(
        """
        DELETE FROM federation_outbox
        WHERE ts_ms < :before_ms AND pos < (
            SELECT MAX(newer.pos) FROM federation_outbox newer
            WHERE newer.room_nid = federation_outbox.room_nid
        )
        """,
        before_ms=before_ms,
    )


async def is_unsent(db: Reader, room_nid: int) -> bool:
    """Whether a server that was in a room lacks an event of ours from there."""
    row = await db.first(
        """
        SELECT 1 FROM federation_outbox o
        JOIN federation_room_servers s ON s.room_nid = o.room_nid
        LEFT JOIN federation_destinations d ON d.server_name = s.server_name
        WHERE o.room_nid = :room_nid AND o.pos >= s.joined_pos
          AND (s.left_pos IS NULL OR o.pos <= s.left_pos)
          AND COALESCE(d.sent_pos, 0) < o.pos
        LIMIT 1
        """,
        room_nid=room_nid,
    )
    return row is not None


def upsert_servers(
    unit: Unit, room_nid: int, servers: Collection[ServerName], *, joined_pos: int
) -> None:
    """Servers are in a room; if one was already, it has been since then."""
    unit.run_many(
        """
        INSERT INTO federation_room_servers (server_name, room_nid, joined_pos,
                                             left_pos)
        VALUES (:server_name, :room_nid, :joined_pos, NULL)
        ON CONFLICT (server_name, room_nid) DO UPDATE
        SET joined_pos = excluded.joined_pos, left_pos = NULL
        WHERE federation_room_servers.left_pos IS NOT NULL
        """,
        [
            {"server_name": name, "room_nid": room_nid, "joined_pos": joined_pos}
            for name in servers
        ],
    )


def update_servers_left(
    unit: Unit, room_nid: int, servers: Collection[ServerName], *, left_pos: int
) -> None:
    """Servers have left a room; nothing if one had before."""
    unit.run_many(
        """
        UPDATE federation_room_servers SET left_pos = :left_pos
        WHERE server_name = :server_name AND room_nid = :room_nid
            AND left_pos IS NULL
        """,
        [
            {"server_name": name, "room_nid": room_nid, "left_pos": left_pos}
            for name in servers
        ],
    )


async def servers_at(db: Reader, room_nid: int, pos: int) -> list[ServerName]:
    """The servers that get what was sent to a room at *pos*
    (federation_room_servers_by_room).
    """
    rows = await db.all(
        """
        SELECT server_name FROM federation_room_servers
        WHERE room_nid = :room_nid AND joined_pos < :pos
            AND (left_pos IS NULL OR left_pos >= :pos)
        """,
        room_nid=room_nid,
        pos=pos,
    )
    return [ServerName(name) for (name,) in rows]
