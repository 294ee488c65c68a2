"""Queries on what other servers are to be sent (migrations/0014_federation_queues.sql).

Rooms and events are numbers here; what they are, only the caller knows.
"""

import orjson
from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.infra.federation.destination import Entry, Transaction
from tremula.protocol.identifiers import ServerName


class DestinationRow(Struct, frozen=True):
    """A row of ``federation_destinations``."""

    server_name: ServerName
    sent_pos: int
    failures: int
    retry_at_ms: int
    transaction: Transaction | None


# The outbox, as far as it is written: what has a higher position may come in between


async def unsent(
    db: Reader, destination: ServerName, *, after: int, up_to: int, limit: int
) -> list[Entry]:
    """What *destination* has not got yet, oldest first (federation_outbox_by_room)."""
    rows = await db.all(
        """
        SELECT o.pos, o.event_nid
        FROM federation_room_servers s
        JOIN federation_outbox o ON o.room_nid = s.room_nid
            AND o.pos > s.joined_pos AND o.pos > :after AND o.pos <= :up_to
            AND (s.left_pos IS NULL OR o.pos <= s.left_pos)
        WHERE s.server_name = :destination
        ORDER BY o.pos LIMIT :limit
        """,
        destination=destination,
        after=after,
        up_to=up_to,
        limit=limit,
    )
    return [Entry(*row) for row in rows]


async def newest_unsent(
    db: Reader, destination: ServerName, *, after: int, up_to: int, limit: int
) -> list[Entry]:
    """Of each room the newest of what *destination* has not got yet, oldest first."""
    rows = await db.all(
        """
        SELECT o.pos, o.event_nid
        FROM (
            SELECT MAX(e.pos) AS newest
            FROM federation_room_servers s
            JOIN federation_outbox e ON e.room_nid = s.room_nid
                AND e.pos > s.joined_pos AND e.pos > :after AND e.pos <= :up_to
                AND (s.left_pos IS NULL OR e.pos <= s.left_pos)
            WHERE s.server_name = :destination
            GROUP BY s.room_nid
        ) AS rooms
        JOIN federation_outbox o ON o.pos = rooms.newest
        ORDER BY o.pos LIMIT :limit
        """,
        destination=destination,
        after=after,
        up_to=up_to,
        limit=limit,
    )
    return [Entry(*row) for row in rows]


# Destinations


async def newest_sent_pos(db: Reader) -> int:
    """The highest position up to which any destination has got everything."""
    row = await db.first("SELECT MAX(sent_pos) FROM federation_destinations")
    assert row is not None, "an aggregate has one row"
    return row[0] or 0


async def unfinished(db: Reader) -> list[DestinationRow]:
    """Destinations that have not got everything, or could not be reached lately."""
    rows = await db.scan(
        """
        SELECT s.server_name, COALESCE(d.sent_pos, 0), COALESCE(d.failures, 0),
               COALESCE(d.retry_at_ms, 0), d.txn_id, d.txn_pos, d.txn_event_nids,
               (
                   SELECT COUNT(*) FROM federation_edus e
                   WHERE e.server_name = s.server_name AND e.is_begun = 1
               )
        FROM (
            SELECT s.server_name FROM federation_room_servers s
            LEFT JOIN federation_destinations d ON d.server_name = s.server_name
            WHERE EXISTS (
                SELECT 1 FROM federation_outbox o
                WHERE o.room_nid = s.room_nid AND o.pos > s.joined_pos
                    AND o.pos > COALESCE(d.sent_pos, 0)
                    AND (s.left_pos IS NULL OR o.pos <= s.left_pos)
            )
            UNION
            SELECT server_name FROM federation_destinations
            WHERE failures > 0 OR txn_id IS NOT NULL
            UNION
            SELECT server_name FROM federation_edus
        ) AS s
        LEFT JOIN federation_destinations d ON d.server_name = s.server_name
        """
    )
    return [
        DestinationRow(ServerName(name), sent_pos, failures, retry_at_ms, _txn(*txn))
        for name, sent_pos, failures, retry_at_ms, *txn in rows
    ]


def _txn(
    txn_id: str | None, pos: int | None, event_nids: str | None, durable_edus: int
) -> Transaction | None:
    if txn_id is None or event_nids is None:
        return None
    return Transaction(
        txn_id, pos, tuple(orjson.loads(event_nids)), durable_edus=durable_edus
    )


def upsert_begun(
    unit: Unit,
    destination: ServerName,
    transaction: Transaction,
    *,
    sent_pos: int | None,
) -> None:
    """A transaction is about to be sent, for the first time.

    With *sent_pos* None, that stays as it is.
    """
    unit.run(
        """
        INSERT INTO federation_destinations (server_name, sent_pos, failures,
                                             retry_at_ms, txn_id, txn_pos,
                                             txn_event_nids)
        VALUES (:server_name, COALESCE(CAST(:sent_pos AS BIGINT), 0), 0, 0, :txn_id,
                :txn_pos, :txn_event_nids)
        ON CONFLICT (server_name) DO UPDATE
        SET sent_pos = COALESCE(CAST(:sent_pos AS BIGINT),
                                federation_destinations.sent_pos),
            txn_id = excluded.txn_id,
            txn_pos = excluded.txn_pos,
            txn_event_nids = excluded.txn_event_nids
        """,
        server_name=destination,
        sent_pos=sent_pos,
        txn_id=transaction.txn_id,
        txn_pos=transaction.pos,
        txn_event_nids=orjson.dumps(transaction.event_nids).decode(),
    )


def update_finished(
    unit: Unit, destination: ServerName, *, sent_pos: int | None
) -> None:
    """A transaction is done with: all up to *sent_pos* need not be sent any more."""
    unit.run(
        """
        UPDATE federation_destinations
        SET sent_pos = COALESCE(CAST(:sent_pos AS BIGINT), sent_pos),
            txn_id = NULL, txn_pos = NULL, txn_event_nids = NULL
        WHERE server_name = :server_name
        """,
        server_name=destination,
        sent_pos=sent_pos,
    )


def upsert_failures(
    unit: Unit, destination: ServerName, *, failures: int, retry_at_ms: int
) -> None:
    """How often a destination could not be reached in a row; 0 when it was."""
    unit.run(
        """
        INSERT INTO federation_destinations (server_name, sent_pos, failures,
                                             retry_at_ms)
        VALUES (:server_name, 0, :failures, :retry_at_ms)
        ON CONFLICT (server_name) DO UPDATE
        SET failures = excluded.failures, retry_at_ms = excluded.retry_at_ms
        """,
        server_name=destination,
        failures=failures,
        retry_at_ms=retry_at_ms,
    )
