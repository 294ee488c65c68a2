"""Queries on the inboxes of devices (created in migrations/0022_to_device.sql)."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from tremula.infra.backlog import Backlog
from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import DeviceId, ServerName, UserId
from tremula.protocol.to_device import ALL_DEVICES


class Txn(Struct, frozen=True):
    """What a request of a device is known by when it comes again."""

    user_id: UserId
    device_id: DeviceId
    event_type: str
    txn_id: str


class InboxMessage(Struct, frozen=True):
    """A message in the inbox of a device; ``event`` is JSON."""

    user_id: UserId
    device_id: DeviceId
    pos: int
    event: str


# Inboxes


def insert_inbox(unit: Unit, user_id: UserId, device_id: DeviceId) -> None:
    """Give a device an inbox, unless it has one."""
    unit.run(
        """
        INSERT INTO to_device_inboxes (user_id, device_id)
        VALUES (:user_id, :device_id)
        ON CONFLICT (user_id, device_id) DO NOTHING
        """,
        user_id=user_id,
        device_id=device_id,
    )


def delete_inboxes(unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]) -> None:
    """Remove all of some devices (at most 500)."""
    devices = list(device_ids)
    unit.run(
        """
        DELETE FROM to_device_inboxes
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=devices,
    )
    unit.run(
        """
        DELETE FROM to_device_messages
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=devices,
    )
    unit.run(
        """
        DELETE FROM to_device_txns
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=devices,
    )


def delete_inboxes_of_user(unit: Unit, user_id: UserId, *, but_device_id: str) -> None:
    """Remove all of the user's devices but one."""
    unit.run(
        """
        DELETE FROM to_device_inboxes
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )
    unit.run(
        """
        DELETE FROM to_device_messages
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )
    unit.run(
        """
        DELETE FROM to_device_txns
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )


# Messages


def insert_messages(
    unit: Unit, messages: Mapping[UserId, Mapping[DeviceId, str]], *, pos: int
) -> None:
    """Put messages, as JSON, into the inboxes of devices; those that do not exist get
    none, and what is for all devices is left out.
    """
    unit.run_many(
        """
        INSERT INTO to_device_messages (user_id, device_id, pos, event)
        SELECT user_id, device_id, CAST(:pos AS BIGINT), CAST(:event AS TEXT)
        FROM to_device_inboxes
        WHERE user_id = :user_id AND device_id = :device_id
        """,
        [
            {"user_id": user_id, "device_id": device_id, "event": event, "pos": pos}
            for user_id, events in messages.items()
            for device_id, event in events.items()
            if device_id != ALL_DEVICES
        ],
    )


def insert_for_all_devices(
    unit: Unit,
    user_id: UserId,
    event: str,
    *,
    but_device_ids: Sequence[DeviceId],
    pos: int,
) -> None:
    """Put a message into all inboxes of a user but some (at most 500)."""
    unit.run(
        """
        INSERT INTO to_device_messages (user_id, device_id, pos, event)
        SELECT user_id, device_id, CAST(:pos AS BIGINT), CAST(:event AS TEXT)
        FROM to_device_inboxes
        WHERE user_id = :user_id AND device_id NOT IN :but_device_ids
        """,
        user_id=user_id,
        event=event,
        but_device_ids=list(but_device_ids),
        pos=pos,
    )


async def messages_after(
    db: Reader,
    user_id: UserId,
    device_id: DeviceId,
    *,
    after: int,
    up_to: int,
    limit: int,
) -> list[tuple[int, str]]:
    """The oldest messages between two positions: ``(pos, event)``."""
    rows = await db.all(
        """
        SELECT pos, event FROM to_device_messages
        WHERE user_id = :user_id AND device_id = :device_id
            AND pos > :after AND pos <= :up_to
        ORDER BY pos LIMIT :limit
        """,
        user_id=user_id,
        device_id=device_id,
        after=after,
        up_to=up_to,
        limit=limit,
    )
    return [(pos, event) for pos, event in rows]


async def messages_at(
    db: Reader, user_ids: Collection[UserId], positions: Collection[int]
) -> list[InboxMessage]:
    """What some users (at most 500) got at some positions (at most 500)."""
    rows = await db.all(
        """
        SELECT user_id, device_id, pos, event FROM to_device_messages
        WHERE user_id IN :user_ids AND pos IN :positions
        ORDER BY pos, user_id, device_id
        """,
        user_ids=list(user_ids),
        positions=list(positions),
    )
    return [InboxMessage(*row) for row in rows]


def delete_each(unit: Unit, messages: Sequence[InboxMessage]) -> None:
    """Remove some messages."""
    unit.run_many(
        """
        DELETE FROM to_device_messages
        WHERE user_id = :user_id AND device_id = :device_id AND pos = :pos
        """,
        [
            {"user_id": each.user_id, "device_id": each.device_id, "pos": each.pos}
            for each in messages
        ],
    )


async def has_messages(
    db: Reader, user_id: UserId, device_id: DeviceId, *, up_to: int
) -> bool:
    """Whether a device has any up to a position."""
    row = await db.first(
        """
        SELECT 1 FROM to_device_messages
        WHERE user_id = :user_id AND device_id = :device_id AND pos <= :up_to LIMIT 1
        """,
        user_id=user_id,
        device_id=device_id,
        up_to=up_to,
    )
    return row is not None


def delete_received(
    unit: Unit, received: Mapping[tuple[UserId, DeviceId], int]
) -> None:
    """Remove what some devices have received: up to a position each."""
    unit.run_many(
        """
        DELETE FROM to_device_messages
        WHERE user_id = :user_id AND device_id = :device_id AND pos <= :up_to
        """,
        [
            {"user_id": user_id, "device_id": device_id, "up_to": up_to}
            for (user_id, device_id), up_to in sorted(received.items())
        ],
    )


async def overfull_inboxes(
    db: Reader, user_ids: Sequence[UserId], *, messages_max: int
) -> list[tuple[UserId, DeviceId]]:
    """The devices of some users (at most 500) that have more messages than this."""
    rows = await db.scan(
        """
        SELECT user_id, device_id FROM to_device_messages
        WHERE user_id IN :user_ids
        GROUP BY user_id, device_id HAVING COUNT(*) > :messages_max
        """,
        user_ids=list(user_ids),
        messages_max=messages_max,
    )
    return [(UserId(user_id), DeviceId(device_id)) for user_id, device_id in rows]


def delete_oldest_messages(
    unit: Unit, user_id: UserId, device_id: DeviceId, *, kept_max: int
) -> None:
    """Keep the newest of a device only."""
    unit.run(
        """
        DELETE FROM to_device_messages
        WHERE user_id = :user_id AND device_id = :device_id AND pos <= (
            SELECT newer.pos FROM to_device_messages newer
            WHERE newer.user_id = :user_id AND newer.device_id = :device_id
            ORDER BY newer.pos DESC LIMIT 1 OFFSET :kept_max
        )
        """,
        user_id=user_id,
        device_id=device_id,
        kept_max=kept_max,
    )


# What is known already


def insert_txn(unit: Unit, txn: Txn, *, ts_ms: int) -> None:
    """Record a request; it conflicts if it is one that was recorded before."""
    unit.run(
        """
        INSERT INTO to_device_txns (user_id, device_id, event_type, txn_id, ts_ms)
        VALUES (:user_id, :device_id, :event_type, :txn_id, :ts_ms)
        """,
        user_id=txn.user_id,
        device_id=txn.device_id,
        event_type=txn.event_type,
        txn_id=txn.txn_id,
        ts_ms=ts_ms,
    )


async def is_known_txn(db: Reader, txn: Txn) -> bool:
    """Whether a request was recorded."""
    row = await db.first(
        """
        SELECT 1 FROM to_device_txns
        WHERE user_id = :user_id AND device_id = :device_id
            AND event_type = :event_type AND txn_id = :txn_id
        """,
        user_id=txn.user_id,
        device_id=txn.device_id,
        event_type=txn.event_type,
        txn_id=txn.txn_id,
    )
    return row is not None


def insert_received(
    unit: Unit, origin: ServerName, message_id: str, *, ts_ms: int
) -> None:
    """Record what another server has sent; it conflicts if that was recorded before."""
    unit.run(
        """
        INSERT INTO to_device_received (origin, message_id, ts_ms)
        VALUES (:origin, :message_id, :ts_ms)
        """,
        origin=origin,
        message_id=message_id,
        ts_ms=ts_ms,
    )


async def is_received(db: Reader, origin: ServerName, message_id: str) -> bool:
    """Whether what another server sends was recorded."""
    row = await db.first(
        """
        SELECT 1 FROM to_device_received
        WHERE origin = :origin AND message_id = :message_id
        """,
        origin=origin,
        message_id=message_id,
    )
    return row is not None


def delete_old_records(
    unit: Unit, *, txns_before_ms: int, received_before_ms: int
) -> None:
    """Forget requests, and what other servers sent, that won't come again any more."""
    unit.run(
        "DELETE FROM to_device_txns WHERE ts_ms < :before_ms", before_ms=txns_before_ms
    )
    unit.run(
        "DELETE FROM to_device_received WHERE ts_ms < :before_ms",
        before_ms=received_before_ms,
    )


async def inbox_backlog(db: Reader) -> Backlog:
    """Messages that wait for devices to fetch them."""
    [row] = await db.scan(
        """
        SELECT CAST(COALESCE(SUM(messages), 0) AS BIGINT), COUNT(*) FROM (
            SELECT COUNT(*) AS messages FROM to_device_messages
            GROUP BY user_id, device_id
        ) AS inboxes
        """
    )
    return Backlog(*row)
