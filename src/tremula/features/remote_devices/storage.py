"""Queries on devices of other servers' users (migrations/0017_device_lists.sql)."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from tremula.features.device_keys.service import UserKeys
from tremula.infra.backlog import Backlog
from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import DeviceId, UserId


class StoredList(Struct, frozen=True):
    """A row of ``remote_devices_lists`` with its ``remote_devices``."""

    stream_id: int
    shared_pos: int
    keys: UserKeys


# Lists


async def lists_of(db: Reader, user_ids: Sequence[UserId]) -> dict[UserId, StoredList]:
    """The lists of users (at most 500) that are known."""
    rows = await db.all(
        """
        SELECT user_id, stream_id, shared_pos, master_key, self_signing_key
        FROM remote_devices_lists WHERE user_id IN :user_ids
        """,
        user_ids=list(user_ids),
    )
    if not rows:
        return {}
    device_rows = await db.all(
        """
        SELECT user_id, device_id, device_keys FROM remote_devices
        WHERE user_id IN :user_ids
        """,
        user_ids=list(user_ids),
    )
    devices: dict[UserId, dict[DeviceId, bytes]] = {}
    for user_id, device_id, device_keys in device_rows:
        devices.setdefault(user_id, {})[device_id] = device_keys
    return {
        user_id: StoredList(
            stream_id,
            shared_pos,
            UserKeys(devices.get(user_id, {}), master=master, self_signing=signing),
        )
        for user_id, stream_id, shared_pos, master, signing in rows
    }


def replace_list(unit: Unit, user_id: UserId, stored: StoredList) -> None:
    """Take a list over, in place of what was known of the user.

    If a later one is known, or comes at this moment, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        DELETE FROM remote_devices_lists
        WHERE user_id = :user_id AND shared_pos <= :shared_pos
        """,
        user_id=user_id,
        shared_pos=stored.shared_pos,
    )
    unit.run("DELETE FROM remote_devices WHERE user_id = :user_id", user_id=user_id)
    unit.run(
        """
        INSERT INTO remote_devices_lists (user_id, stream_id, shared_pos, master_key,
                                          self_signing_key)
        VALUES (:user_id, :stream_id, :shared_pos, :master_key, :self_signing_key)
        """,
        user_id=user_id,
        stream_id=stored.stream_id,
        shared_pos=stored.shared_pos,
        master_key=stored.keys.master,
        self_signing_key=stored.keys.self_signing,
    )
    upsert_devices(unit, user_id, stored.keys.devices)


def delete_lists(unit: Unit, user_ids: Collection[UserId]) -> None:
    """Forget what is known of users (at most 500)."""
    unit.run(
        "DELETE FROM remote_devices_lists WHERE user_id IN :user_ids",
        user_ids=list(user_ids),
    )
    unit.run(
        "DELETE FROM remote_devices WHERE user_id IN :user_ids",
        user_ids=list(user_ids),
    )


def update_stream_id(
    unit: Unit, user_id: UserId, *, known: StoredList, stream_id: int
) -> None:
    """An update of *known* is taken over.

    If that is not what is known by then, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        UPDATE remote_devices_lists
        SET stream_id = CASE
            WHEN stream_id = :known_id AND shared_pos = :shared_pos
                THEN CAST(:stream_id AS BIGINT)
        END
        WHERE user_id = :user_id
        """,
        user_id=user_id,
        known_id=known.stream_id,
        shared_pos=known.shared_pos,
        stream_id=stream_id,
    )


def update_signing_keys(
    unit: Unit, user_id: UserId, *, known: StoredList, keys: UserKeys
) -> None:
    """The user has new cross-signing keys; it fails as `update_stream_id`."""
    update_stream_id(unit, user_id, known=known, stream_id=known.stream_id)
    unit.run(
        """
        UPDATE remote_devices_lists
        SET master_key = :master_key, self_signing_key = :self_signing_key
        WHERE user_id = :user_id
        """,
        user_id=user_id,
        master_key=keys.master,
        self_signing_key=keys.self_signing,
    )


def upsert_devices(
    unit: Unit, user_id: UserId, devices: Mapping[DeviceId, bytes]
) -> None:
    """Add devices to a list, or replace them."""
    unit.run_many(
        """
        INSERT INTO remote_devices (user_id, device_id, device_keys)
        VALUES (:user_id, :device_id, :device_keys)
        ON CONFLICT (user_id, device_id) DO UPDATE
        SET device_keys = excluded.device_keys
        """,
        [
            {"user_id": user_id, "device_id": device_id, "device_keys": device_keys}
            for device_id, device_keys in devices.items()
        ],
    )


def delete_device(unit: Unit, user_id: UserId, device_id: DeviceId) -> None:
    """Remove a device from a list."""
    unit.run(
        """
        DELETE FROM remote_devices
        WHERE user_id = :user_id AND device_id = :device_id
        """,
        user_id=user_id,
        device_id=device_id,
    )


async def listed_users(db: Reader, *, after: str, limit: int) -> list[UserId]:
    """Whose lists are known, in order of their IDs."""
    rows = await db.all(
        """
        SELECT user_id FROM remote_devices_lists
        WHERE user_id > :after ORDER BY user_id LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [UserId(user_id) for (user_id,) in rows]


# What is to be fetched


def insert_wanted(
    unit: Unit, user_ids: Collection[UserId], *, retry_at_ms: int
) -> None:
    """Their lists are to be fetched, from then on; nothing if that is known."""
    unit.run_many(
        """
        INSERT INTO remote_devices_wanted (user_id, seen_pos, failures, retry_at_ms)
        VALUES (:user_id, 0, 0, :retry_at_ms)
        ON CONFLICT (user_id) DO NOTHING
        """,
        [{"user_id": each, "retry_at_ms": retry_at_ms} for each in user_ids],
    )


def upsert_seen(unit: Unit, user_id: UserId, *, pos: int, retry_at_ms: int) -> None:
    """An update came at *pos* of a list that is wanted: to be fetched after that, also
    if it has just been.
    """
    unit.run(
        """
        INSERT INTO remote_devices_wanted (user_id, seen_pos, failures, retry_at_ms)
        VALUES (:user_id, :pos, 0, :retry_at_ms)
        ON CONFLICT (user_id) DO UPDATE
        SET seen_pos = excluded.seen_pos, retry_at_ms = excluded.retry_at_ms
        """,
        user_id=user_id,
        pos=pos,
        retry_at_ms=retry_at_ms,
    )


def update_failed(
    unit: Unit, user_id: UserId, *, failures: int, retry_at_ms: int
) -> None:
    """The list could not be fetched."""
    unit.run(
        """
        UPDATE remote_devices_wanted
        SET failures = :failures, retry_at_ms = :retry_at_ms
        WHERE user_id = :user_id
        """,
        user_id=user_id,
        failures=failures,
        retry_at_ms=retry_at_ms,
    )


def delete_wanted(unit: Unit, user_id: UserId, *, fetched_pos: int) -> None:
    """The list was asked for at *fetched_pos*: done, unless an update came since."""
    unit.run(
        """
        DELETE FROM remote_devices_wanted
        WHERE user_id = :user_id AND seen_pos <= :fetched_pos
        """,
        user_id=user_id,
        fetched_pos=fetched_pos,
    )


async def wanted_among(db: Reader, user_ids: Sequence[UserId]) -> dict[UserId, int]:
    """How often fetching has failed, of those users (at most 500) who are wanted."""
    rows = await db.all(
        """
        SELECT user_id, failures FROM remote_devices_wanted
        WHERE user_id IN :user_ids
        """,
        user_ids=list(user_ids),
    )
    return {UserId(user_id): failures for user_id, failures in rows}


async def due(db: Reader, *, now_ms: int, limit: int) -> list[UserId]:
    """Whose lists are to be fetched now (remote_devices_wanted_by_time)."""
    rows = await db.all(
        """
        SELECT user_id FROM remote_devices_wanted
        WHERE retry_at_ms <= :now_ms ORDER BY retry_at_ms LIMIT :limit
        """,
        now_ms=now_ms,
        limit=limit,
    )
    return [UserId(user_id) for (user_id,) in rows]


async def next_retry_ms(db: Reader) -> int | None:
    """When the next list is to be fetched, if any is."""
    row = await db.first("SELECT MIN(retry_at_ms) FROM remote_devices_wanted")
    return None if row is None or row[0] is None else int(row[0])


async def wanted_backlog(db: Reader) -> Backlog:
    """Whose lists are to be fetched."""
    [row] = await db.scan("SELECT COUNT(*) FROM remote_devices_wanted")
    return Backlog(row[0], row[0])
