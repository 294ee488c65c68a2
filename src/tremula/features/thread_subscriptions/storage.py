"""Queries on ``thread_subscriptions`` (0037_thread_subscriptions.sql)."""

from enum import IntEnum

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import EventId, UserId


class Kind(IntEnum):
    """Whether a thread is subscribed to, and who wanted that."""

    UNSUBSCRIBED = 0
    AUTOMATIC = 1
    MANUAL = 2


class Subscription(Struct, frozen=True):
    """What a thread is to a user since the journal position ``pos``."""

    room_nid: int
    root_id: EventId
    kind: Kind
    pos: int


async def find_subscription(
    db: Reader, user_id: UserId, room_nid: int, root_id: EventId
) -> Subscription | None:
    """What a thread is to a user."""
    row = await db.first(
        """
        SELECT room_nid, root_id, kind, pos FROM thread_subscriptions
        WHERE user_id = :user_id AND room_nid = :room_nid AND root_id = :root_id
        """,
        user_id=user_id,
        room_nid=room_nid,
        root_id=root_id,
    )
    return None if row is None else _subscription(*row)


async def subscribers_of(
    db: Reader, room_nid: int, root_id: EventId
) -> frozenset[UserId]:
    """Who is subscribed to a thread (thread_subscriptions_by_thread)."""
    rows = await db.all(
        """
        SELECT user_id FROM thread_subscriptions
        WHERE room_nid = :room_nid AND root_id = :root_id AND kind <> :unsubscribed
        """,
        room_nid=room_nid,
        root_id=root_id,
        unsubscribed=int(Kind.UNSUBSCRIBED),
    )
    return frozenset(UserId(user_id) for (user_id,) in rows)


async def count_subscriptions(db: Reader, user_id: UserId) -> int:
    """Of how many threads it is known what they are to a user."""
    row = await db.first(
        "SELECT COUNT(*) FROM thread_subscriptions WHERE user_id = :user_id",
        user_id=user_id,
    )
    assert row is not None
    count: int = row[0]
    return count


async def subscriptions_between(
    db: Reader, user_id: UserId, *, after: int, up_to: int, limit: int
) -> list[Subscription]:
    """What has changed between two positions, newest first
    (thread_subscriptions_by_pos).
    """
    rows = await db.all(
        """
        SELECT room_nid, root_id, kind, pos FROM thread_subscriptions
        WHERE user_id = :user_id AND pos > :after AND pos <= :up_to
        ORDER BY pos DESC LIMIT :limit
        """,
        user_id=user_id,
        after=after,
        up_to=up_to,
        limit=limit,
    )
    return [_subscription(*row) for row in rows]


def replace_subscription(
    unit: Unit, user_id: UserId, subscription: Subscription, *, seen_pos: int
) -> None:
    """Set what a thread is to a user, as set at *seen_pos* last (0: never).

    If it has been set since, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        INSERT INTO thread_subscriptions (user_id, room_nid, root_id, kind, pos)
        VALUES (:user_id, :room_nid, :root_id, :kind, :pos)
        ON CONFLICT (user_id, room_nid, root_id) DO UPDATE
        SET kind = excluded.kind,
            pos = CASE WHEN thread_subscriptions.pos = :seen_pos
                THEN excluded.pos END
        """,
        user_id=user_id,
        room_nid=subscription.room_nid,
        root_id=subscription.root_id,
        kind=int(subscription.kind),
        pos=subscription.pos,
        seen_pos=seen_pos,
    )


def delete_subscriptions(unit: Unit, user_id: UserId) -> None:
    """Remove what is known of a user."""
    unit.run(
        "DELETE FROM thread_subscriptions WHERE user_id = :user_id", user_id=user_id
    )


def _subscription(room_nid: int, root_id: str, kind: int, pos: int) -> Subscription:
    return Subscription(room_nid, EventId(root_id), Kind(kind), pos)
