"""Queries on what application services are to be told
(created in migrations/0043_appservice_transactions.sql).
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit


class Waiting(Struct, frozen=True):
    """A row of ``appservice_transactions_waiting``, but for whom it is."""

    pos: int
    event_nid: int
    ts_ms: int
    client_json: bytes | None = None


class Transaction(Struct, frozen=True):
    """A row of ``appservice_transactions_begun``, but for whom it is."""

    txn_id: str
    body: bytes


class Queued(Struct, frozen=True):
    """How many events wait for an application service, since when the oldest."""

    events: int
    oldest_ts_ms: int | None
    is_begun: bool


def insert_waiting(unit: Unit, appservice_ids: Iterable[str], waiting: Waiting) -> None:
    """Let an event wait for some application services."""
    unit.run_many(
        """
        INSERT INTO appservice_transactions_waiting (appservice_id, pos, event_nid,
                                                     ts_ms, client_json)
        VALUES (:appservice_id, :pos, :event_nid, :ts_ms, :client_json)
        """,
        [
            {
                "appservice_id": appservice_id,
                "pos": waiting.pos,
                "event_nid": waiting.event_nid,
                "ts_ms": waiting.ts_ms,
                "client_json": waiting.client_json,
            }
            for appservice_id in appservice_ids
        ],
    )


def upsert_replayed(unit: Unit, appservice_id: str, events: Sequence[Waiting]) -> None:
    """Let events wait again; those that still do are left as they are."""
    unit.run_many(
        """
        INSERT INTO appservice_transactions_waiting (appservice_id, pos, event_nid,
                                                     ts_ms, client_json)
        VALUES (:appservice_id, :pos, :event_nid, :ts_ms, NULL)
        ON CONFLICT (appservice_id, pos) DO NOTHING
        """,
        [
            {
                "appservice_id": appservice_id,
                "pos": each.pos,
                "event_nid": each.event_nid,
                "ts_ms": each.ts_ms,
            }
            for each in events
        ],
    )


async def oldest_waiting(
    db: Reader, appservice_id: str, *, up_to: int, limit: int
) -> list[Waiting]:
    """What waits for an application service, oldest first (the primary key)."""
    rows = await db.all(
        """
        SELECT pos, event_nid, ts_ms, client_json
        FROM appservice_transactions_waiting
        WHERE appservice_id = :appservice_id AND pos <= :up_to
        ORDER BY pos LIMIT :limit
        """,
        appservice_id=appservice_id,
        up_to=up_to,
        limit=limit,
    )
    return [Waiting(*row) for row in rows]


def delete_waiting(unit: Unit, appservice_id: str, positions: Collection[int]) -> None:
    """Let some events wait no longer."""
    if positions:
        unit.run(
            """
            DELETE FROM appservice_transactions_waiting
            WHERE appservice_id = :appservice_id AND pos IN :positions
            """,
            appservice_id=appservice_id,
            positions=list(positions),
        )


def delete_oldest_waiting(unit: Unit, appservice_id: str, *, up_to: int) -> None:
    """Let a thousand events, up to a journal position, wait no longer."""
    unit.run(
        """
        DELETE FROM appservice_transactions_waiting
        WHERE appservice_id = :appservice_id AND pos IN (
            SELECT pos FROM appservice_transactions_waiting
            WHERE appservice_id = :appservice_id AND pos <= :up_to
            ORDER BY pos LIMIT 1000
        )
        """,
        appservice_id=appservice_id,
        up_to=up_to,
    )


async def queued(db: Reader, appservice_id: str) -> Queued:
    """What waits for an application service; looks at all of it."""
    row = await db.first(
        """
        SELECT COUNT(*), MIN(ts_ms) FROM appservice_transactions_waiting
        WHERE appservice_id = :appservice_id
        """,
        appservice_id=appservice_id,
    )
    assert row is not None, "an aggregate has one row"
    begun = await find_begun(db, appservice_id)
    return Queued(row[0], row[1], begun is not None)


async def ids_with_anything(db: Reader) -> set[str]:
    """The application services that something waits for, or is under way to.

    However much waits: one look at the primary key for each of them.
    """
    rows = await db.all(
        """
        WITH RECURSIVE ids (appservice_id) AS (
            SELECT MIN(appservice_id) FROM appservice_transactions_waiting
            UNION ALL
            SELECT (
                SELECT MIN(w.appservice_id) FROM appservice_transactions_waiting w
                WHERE w.appservice_id > ids.appservice_id
            )
            FROM ids WHERE ids.appservice_id IS NOT NULL
        )
        SELECT appservice_id FROM ids WHERE appservice_id IS NOT NULL
        UNION
        SELECT appservice_id FROM appservice_transactions_begun
        """
    )
    return {appservice_id for (appservice_id,) in rows}


async def find_begun(db: Reader, appservice_id: str) -> Transaction | None:
    """The transaction that is under way to an application service."""
    row = await db.first(
        """
        SELECT txn_id, body FROM appservice_transactions_begun
        WHERE appservice_id = :appservice_id
        """,
        appservice_id=appservice_id,
    )
    return None if row is None else Transaction(row[0], bytes(row[1]))


def upsert_begun(unit: Unit, appservice_id: str, transaction: Transaction) -> None:
    """A transaction is about to be sent; the one before it has been taken."""
    unit.run(
        """
        INSERT INTO appservice_transactions_begun (appservice_id, txn_id, body)
        VALUES (:appservice_id, :txn_id, :body)
        ON CONFLICT (appservice_id) DO UPDATE
        SET txn_id = excluded.txn_id, body = excluded.body
        """,
        appservice_id=appservice_id,
        txn_id=transaction.txn_id,
        body=transaction.body,
    )


def delete_begun(unit: Unit, appservice_id: str) -> None:
    """The transaction under way has been taken, and none follows yet."""
    unit.run(
        """
        DELETE FROM appservice_transactions_begun
        WHERE appservice_id = :appservice_id
        """,
        appservice_id=appservice_id,
    )
