"""Queries on ``delayed_events`` (created in migrations/0035_delayed_events.sql)."""

from typing import Final

from msgspec import Struct

from tremula.features.delayed_events.delayed_event import (
    DelayedEvent,
    Finalised,
    Reason,
)
from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, UserId

ITEMS_PER_PAGE: Final = 500


class Item(Struct, frozen=True):
    """Of a scheduled event as much as has to be in memory."""

    delay_id: str
    user_id: UserId
    room_id: RoomId
    type: str
    state_key: str | None
    send_ts_ms: int
    scheduled_pos: int


class Scheduled(Struct, frozen=True):
    """How many events a user has scheduled, and when the first of them is due."""

    count: int
    next_ts_ms: int | None


def insert_delayed_event(unit: Unit, event: DelayedEvent) -> None:
    """Add it; a transaction ID that was used fails the unit with ``Conflict``."""
    unit.run(
        """
        INSERT INTO delayed_events (delay_id, user_id, device_id, txn_id, room_id,
                                    event_type, state_key, content, delay_ms,
                                    since_ts_ms, scheduled_pos)
        VALUES (:delay_id, :user_id, :device_id, :txn_id, :room_id,
                :event_type, :state_key, :content, :delay_ms,
                :since_ts_ms, :scheduled_pos)
        """,
        delay_id=event.delay_id,
        user_id=event.user_id,
        device_id=event.device_id,
        txn_id=event.txn_id,
        room_id=event.room_id,
        event_type=event.type,
        state_key=event.state_key,
        content=event.content,
        delay_ms=event.delay_ms,
        since_ts_ms=event.since_ts_ms,
        scheduled_pos=event.scheduled_pos,
    )


def update_begun(unit: Unit, delay_id: str, *, is_begun: bool) -> None:
    """Say whether a scheduled event may have been sent."""
    unit.run(
        """
        UPDATE delayed_events SET begun = :begun
        WHERE delay_id = :delay_id AND finalised_ts_ms IS NULL
        """,
        delay_id=delay_id,
        begun=int(is_begun),
    )


def update_since(unit: Unit, delay_id: str, *, since_ts_ms: int) -> None:
    """Have the delay of an event, which was not sent, begin anew."""
    unit.run(
        """
        UPDATE delayed_events SET since_ts_ms = :since_ts_ms, begun = 0
        WHERE delay_id = :delay_id AND finalised_ts_ms IS NULL
        """,
        delay_id=delay_id,
        since_ts_ms=since_ts_ms,
    )


def update_finalised(unit: Unit, delay_id: str, finalised: Finalised) -> None:
    """Say how a scheduled event has ended; the first one to say so counts."""
    unit.run(
        """
        UPDATE delayed_events
        SET finalised_ts_ms = :ts_ms, event_id = :event_id, error = :error,
            reason = :reason
        WHERE delay_id = :delay_id AND finalised_ts_ms IS NULL
        """,
        delay_id=delay_id,
        ts_ms=finalised.ts_ms,
        event_id=finalised.event_id,
        error=finalised.error,
        reason=finalised.reason,
    )


def delete_finalised_before(unit: Unit, ts_ms: int) -> None:
    """Forget what has ended before *ts_ms*."""
    unit.run(
        """
        DELETE FROM delayed_events
        WHERE finalised_ts_ms IS NOT NULL AND finalised_ts_ms < :ts_ms
        """,
        ts_ms=ts_ms,
    )


def delete_finalised_beyond(unit: Unit, user_id: UserId, *, newest: int) -> None:
    """Forget all that has ended of a user but the *newest* so many."""
    unit.run(
        """
        DELETE FROM delayed_events
        WHERE user_id = :user_id AND finalised_ts_ms < (
            SELECT finalised_ts_ms FROM delayed_events
            WHERE user_id = :user_id AND finalised_ts_ms IS NOT NULL
            ORDER BY finalised_ts_ms DESC LIMIT 1 OFFSET :offset
        )
        """,
        user_id=user_id,
        offset=newest - 1,
    )


def delete_delayed_events_of(unit: Unit, user_id: UserId) -> None:
    """Forget all that a user has scheduled."""
    unit.run("DELETE FROM delayed_events WHERE user_id = :user_id", user_id=user_id)


async def find_delayed_event(db: Reader, delay_id: str) -> DelayedEvent | None:
    """The event with this delay ID, scheduled or not."""
    row = await db.first(
        """
        SELECT delay_id, user_id, device_id, txn_id, room_id, event_type, state_key,
               content, delay_ms, since_ts_ms, scheduled_pos, begun,
               finalised_ts_ms, event_id, error, reason
        FROM delayed_events WHERE delay_id = :delay_id
        """,
        delay_id=delay_id,
    )
    return None if row is None else _delayed_event(row)


async def find_delay_id(db: Reader, event: DelayedEvent) -> str | None:
    """What was scheduled before with the transaction ID of *event*."""
    if event.txn_id is None:
        return None
    row = await db.first(
        """
        SELECT delay_id FROM delayed_events
        WHERE user_id = :user_id AND device_id = :device_id AND room_id = :room_id
            AND event_type = :event_type AND txn_id = :txn_id
        """,
        user_id=event.user_id,
        device_id=event.device_id,
        room_id=event.room_id,
        event_type=event.type,
        txn_id=event.txn_id,
    )
    return None if row is None else str(row[0])


async def scheduled_of(db: Reader, user_id: UserId) -> Scheduled:
    """What a user has scheduled."""
    row = await db.first(
        """
        SELECT COUNT(*), MIN(since_ts_ms + delay_ms) FROM delayed_events
        WHERE user_id = :user_id AND finalised_ts_ms IS NULL
        """,
        user_id=user_id,
    )
    assert row is not None
    count, next_ts_ms = row
    return Scheduled(count, next_ts_ms)


async def delayed_events_of(
    db: Reader, user_id: UserId, *, limit: int
) -> list[DelayedEvent]:
    """The scheduled events of a user, the next one first; not those that have ended."""
    rows = await db.all(
        """
        SELECT delay_id, user_id, device_id, txn_id, room_id, event_type, state_key,
               content, delay_ms, since_ts_ms, scheduled_pos, begun,
               finalised_ts_ms, event_id, error, reason
        FROM delayed_events
        WHERE user_id = :user_id AND finalised_ts_ms IS NULL
        ORDER BY since_ts_ms + delay_ms, delay_id LIMIT :limit
        """,
        user_id=user_id,
        limit=limit,
    )
    return [_delayed_event(row) for row in rows]


async def finalised_events_of(
    db: Reader, user_id: UserId, *, limit: int
) -> list[DelayedEvent]:
    """Those events of a user that have ended, the newest first."""
    rows = await db.all(
        """
        SELECT delay_id, user_id, device_id, txn_id, room_id, event_type, state_key,
               content, delay_ms, since_ts_ms, scheduled_pos, begun,
               finalised_ts_ms, event_id, error, reason
        FROM delayed_events
        WHERE user_id = :user_id AND finalised_ts_ms IS NOT NULL
        ORDER BY finalised_ts_ms DESC, delay_id LIMIT :limit
        """,
        user_id=user_id,
        limit=limit,
    )
    return [_delayed_event(row) for row in rows]


async def items_after(db: Reader, delay_id: str) -> list[Item]:
    """A page of what everybody has scheduled, in order of the delay IDs."""
    rows = await db.all(
        """
        SELECT delay_id, user_id, room_id, event_type, state_key,
               since_ts_ms + delay_ms, scheduled_pos
        FROM delayed_events WHERE finalised_ts_ms IS NULL AND delay_id > :delay_id
        ORDER BY delay_id LIMIT :limit
        """,
        delay_id=delay_id,
        limit=ITEMS_PER_PAGE,
    )
    return [Item(*row) for row in rows]


def _delayed_event(row: Row) -> DelayedEvent:
    *scheduled, ts_ms, event_id, error, reason = row
    delay_id, user_id, device_id, txn_id, room_id, *rest = scheduled
    event_type, state_key, content, delay_ms, since_ts_ms, scheduled_pos, begun = rest
    return DelayedEvent(
        delay_id=delay_id,
        user_id=UserId(user_id),
        device_id=DeviceId(device_id),
        txn_id=txn_id,
        room_id=RoomId(room_id),
        type=event_type,
        state_key=state_key,
        content=content,
        delay_ms=delay_ms,
        since_ts_ms=since_ts_ms,
        scheduled_pos=scheduled_pos,
        is_begun=bool(begun),
        finalised=None
        if ts_ms is None
        else Finalised(
            ts_ms,
            Reason(reason),
            None if event_id is None else EventId(event_id),
            error,
        ),
    )
