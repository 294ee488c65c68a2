"""Queries on how much other servers are still to be sent, for operators.

The tables are those of ``queues_storage`` and ``durable_edus_storage``.
"""

from tremula.infra.backlog import Backlog
from tremula.infra.db import Reader


async def events_backlog(db: Reader) -> Backlog:
    """Events by destination: one for three servers counts three times
    (federation_outbox_by_room).
    """
    [row] = await db.scan(
        """
        SELECT COUNT(*), COUNT(DISTINCT s.server_name), MIN(o.ts_ms)
        FROM federation_room_servers s
        LEFT JOIN federation_destinations d ON d.server_name = s.server_name
        JOIN federation_outbox o ON o.room_nid = s.room_nid
            AND o.pos > s.joined_pos AND o.pos > COALESCE(d.sent_pos, 0)
            AND (s.left_pos IS NULL OR o.pos <= s.left_pos)
        """
    )
    return Backlog(*row)


async def edus_backlog(db: Reader) -> Backlog:
    """EDUs that must arrive, by destination."""
    [row] = await db.scan(
        """
        SELECT COUNT(*), COUNT(DISTINCT server_name), MIN(ts_ms) FROM federation_edus
        """
    )
    return Backlog(*row)


async def silent_servers(db: Reader) -> Backlog:
    """Destinations that could not be reached when they were last tried."""
    [row] = await db.scan(
        "SELECT COUNT(*) FROM federation_destinations WHERE failures > 0"
    )
    return Backlog(row[0], row[0])
