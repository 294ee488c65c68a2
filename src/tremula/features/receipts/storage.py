"""Queries on ``receipts`` (0006_receipts.sql).

One row a user, room, receipt type and thread: the newest receipt only.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.receipts import Receipt, ReceiptType

# A room of 50,000 readers does not tell them all to everybody.
SHOWN_MAX: Final = 1_000

_UNTHREADED: Final = ""


class StoredReceipt(Struct, frozen=True):
    """A row of ``receipts``; ``room_pos`` is the place of its event in the room."""

    room_nid: int
    user_id: UserId
    receipt: Receipt
    room_pos: int
    ts_ms: int


async def find_room_pos(
    db: Reader, room_nid: int, user_id: UserId, receipt: Receipt
) -> int | None:
    """Where the user's receipt of this type and thread stands."""
    row = await db.first(
        """
        SELECT room_pos FROM receipts
        WHERE room_nid = :room_nid AND user_id = :user_id
            AND receipt_type = :receipt_type AND thread_id = :thread_id
        """,
        room_nid=room_nid,
        user_id=user_id,
        receipt_type=receipt.type,
        thread_id=receipt.thread_id or _UNTHREADED,
    )
    return row[0] if row else None


async def count_receipts(db: Reader, room_nid: int, user_id: UserId) -> int:
    """How many receipts the user has in the room, one a type and thread."""
    row = await db.first(
        """
        SELECT COUNT(*) FROM receipts
        WHERE room_nid = :room_nid AND user_id = :user_id
        """,
        room_nid=room_nid,
        user_id=user_id,
    )
    assert row is not None
    count: int = row[0]
    return count


async def rooms_changed(
    db: Reader, user_id: UserId, room_nids: Sequence[int], *, after: int, up_to: int
) -> set[int]:
    """Those of up to 500 rooms that have receipts which *user_id* has not seen."""
    rows = await db.all(
        """
        SELECT DISTINCT room_nid FROM receipts
        WHERE room_nid IN :room_nids AND pos > :after AND pos <= :up_to
            AND (receipt_type = 'm.read' OR user_id = :user_id)
        """,
        user_id=user_id,
        room_nids=list(room_nids),
        after=after,
        up_to=up_to,
    )
    return {room_nid for (room_nid,) in rows}


async def rooms_read(
    db: Reader, user_id: UserId, room_nids: Sequence[int], *, after: int, up_to: int
) -> set[int]:
    """Those of up to 500 rooms in which *user_id* has given receipts (primary key)."""
    rows = await db.all(
        """
        SELECT DISTINCT room_nid FROM receipts
        WHERE room_nid IN :room_nids AND user_id = :user_id
            AND pos > :after AND pos <= :up_to
        """,
        user_id=user_id,
        room_nids=list(room_nids),
        after=after,
        up_to=up_to,
    )
    return {room_nid for (room_nid,) in rows}


async def receipts_after(
    db: Reader, user_id: UserId, room_nids: Sequence[int], *, after: int, up_to: int
) -> list[StoredReceipt]:
    """Receipts that *user_id* may see in up to 500 rooms, oldest first.

    Of each room their own ones and the newest `SHOWN_MAX` at most.
    """
    rows = await db.scan(
        """
        SELECT room_nid, user_id, receipt_type, thread_id, event_id, room_pos, ts_ms,
               extra
        FROM (
            SELECT room_nid, user_id, receipt_type, thread_id, event_id, room_pos,
                   ts_ms, extra, pos,
                   ROW_NUMBER() OVER (
                       PARTITION BY room_nid ORDER BY pos DESC
                   ) AS age
            FROM receipts
            WHERE room_nid IN :room_nids AND pos > :after AND pos <= :up_to
                AND (receipt_type = 'm.read' OR user_id = :user_id)
        ) AS visible
        WHERE age <= :shown_max OR user_id = :user_id
        ORDER BY pos
        """,
        user_id=user_id,
        room_nids=list(room_nids),
        after=after,
        up_to=up_to,
        shown_max=SHOWN_MAX,
    )
    return [_stored(row) for row in rows]


async def receipts_of_user(
    db: Reader, user_id: UserId, room_nids: Sequence[int], *, up_to: int
) -> list[StoredReceipt]:
    """All that *user_id* has read in up to 500 rooms, oldest first."""
    rows = await db.all(
        """
        SELECT room_nid, user_id, receipt_type, thread_id, event_id, room_pos, ts_ms,
               extra
        FROM receipts
        WHERE room_nid IN :room_nids AND user_id = :user_id AND pos <= :up_to
        ORDER BY pos
        """,
        user_id=user_id,
        room_nids=list(room_nids),
        up_to=up_to,
    )
    return [_stored(row) for row in rows]


def upsert_receipt(unit: Unit, stored: StoredReceipt, *, pos: int) -> None:
    """Move the user's receipt of this type and thread forward.

    If it stands there or further already, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        INSERT INTO receipts (room_nid, user_id, receipt_type, thread_id,
                              event_id, room_pos, ts_ms, extra, pos)
        VALUES (:room_nid, :user_id, :receipt_type, :thread_id,
                :event_id, :room_pos, :ts_ms, :extra, :pos)
        ON CONFLICT (room_nid, user_id, receipt_type, thread_id) DO UPDATE
        SET event_id = excluded.event_id,
            room_pos = excluded.room_pos,
            ts_ms = excluded.ts_ms,
            extra = excluded.extra,
            pos = CASE WHEN excluded.room_pos > receipts.room_pos
                THEN excluded.pos END
        """,
        room_nid=stored.room_nid,
        user_id=stored.user_id,
        receipt_type=stored.receipt.type,
        thread_id=stored.receipt.thread_id or _UNTHREADED,
        event_id=stored.receipt.event_id,
        room_pos=stored.room_pos,
        ts_ms=stored.ts_ms,
        extra=stored.receipt.extra or None,
        pos=pos,
    )


def _stored(row: Row) -> StoredReceipt:
    room_nid, user_id, receipt_type, thread_id, event_id, room_pos, ts_ms, extra = row
    return StoredReceipt(
        room_nid=room_nid,
        user_id=UserId(user_id),
        receipt=Receipt(
            type=ReceiptType(receipt_type),
            event_id=EventId(event_id),
            thread_id=thread_id or None,
            extra=extra or b"",
        ),
        room_pos=room_pos,
        ts_ms=ts_ms,
    )
