"""Queries on ``devices`` (created in migrations/0003_accounts.sql)."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.sessions.service import Sighting
from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import DeviceId, UserId

_AT_ONCE_MAX: Final = 500


class Device(Struct, frozen=True):
    """A row of ``devices``, as its owner sees it."""

    device_id: DeviceId
    display_name: str | None
    last_seen_ts_ms: int | None
    last_seen_ip: str | None


class DeviceUse(Struct, frozen=True):
    """When, from where and with what a device was used last; None: never, so far."""

    device_id: DeviceId
    last_seen_ts_ms: int | None
    ip: str | None
    user_agent: str | None


def insert_device(
    unit: Unit,
    user_id: UserId,
    device_id: DeviceId,
    display_name: str | None,
    *,
    ts_ms: int,
) -> None:
    """Add a device, unless it exists."""
    unit.run(
        """
        INSERT INTO devices (user_id, device_id, display_name, created_ts_ms)
        VALUES (:user_id, :device_id, :display_name, :ts_ms)
        ON CONFLICT (user_id, device_id) DO NOTHING
        """,
        user_id=user_id,
        device_id=device_id,
        display_name=display_name,
        ts_ms=ts_ms,
    )


def check_device(unit: Unit, user_id: UserId, device_id: DeviceId) -> None:
    """Fail the unit with ``Conflict`` if there is no such device by then: the column is
    NOT NULL (see ``infra.rereading``).
    """
    unit.run(
        """
        INSERT INTO devices (user_id, device_id, created_ts_ms)
        SELECT :user_id, :device_id, CAST(NULL AS BIGINT) WHERE NOT EXISTS (
            SELECT 1 FROM devices WHERE user_id = :user_id AND device_id = :device_id
        )
        """,
        user_id=user_id,
        device_id=device_id,
    )


def update_display_name(
    unit: Unit, user_id: UserId, device_id: DeviceId, display_name: str
) -> None:
    """Rename a device."""
    unit.run(
        """
        UPDATE devices SET display_name = :display_name
        WHERE user_id = :user_id AND device_id = :device_id
        """,
        user_id=user_id,
        device_id=device_id,
        display_name=display_name,
    )


def update_last_seen(unit: Unit, sightings: Sequence[Sighting]) -> None:
    """Record when and from where devices were used last; later sightings stay."""
    unit.run_many(
        """
        UPDATE devices
        SET last_seen_ts_ms = :ts_ms, last_seen_ip = :ip,
            last_seen_user_agent = :user_agent
        WHERE user_id = :user_id AND device_id = :device_id
            AND (last_seen_ts_ms IS NULL OR last_seen_ts_ms < :ts_ms)
        """,
        [
            {
                "ts_ms": sighting.ts_ms,
                "ip": sighting.ip,
                "user_agent": sighting.user_agent,
                "user_id": sighting.user_id,
                "device_id": sighting.device_id,
            }
            for sighting in sightings
        ],
    )


def delete_devices(unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]) -> None:
    """Remove devices (at most 500)."""
    unit.run(
        "DELETE FROM devices WHERE user_id = :user_id AND device_id IN :device_ids",
        user_id=user_id,
        device_ids=list(device_ids),
    )


def delete_devices_of_user(
    unit: Unit,
    user_id: UserId,
    known: Sequence[DeviceId],
    *,
    but_device_id: DeviceId | None,
) -> None:
    """Remove every device of the user but one: *known*.

    If there is another one by then, the unit fails with ``Conflict``: the column is
    NOT NULL (see ``infra.rereading``).
    """
    for start in range(0, len(known), _AT_ONCE_MAX):
        delete_devices(unit, user_id, known[start : start + _AT_ONCE_MAX])
    unit.run(
        """
        UPDATE devices SET created_ts_ms = NULL
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        # No device has an empty id.
        but_device_id=but_device_id or "",
    )


async def devices_of_user(db: Reader, user_id: UserId) -> list[Device]:
    """Every device of the user, in order of their IDs."""
    rows = await db.all(
        """
        SELECT device_id, display_name, last_seen_ts_ms, last_seen_ip
        FROM devices WHERE user_id = :user_id ORDER BY device_id
        """,
        user_id=user_id,
    )
    return [_device(row) for row in rows]


async def uses_of_devices(db: Reader, user_id: UserId) -> list[DeviceUse]:
    """When, from where and with what each device of the user was used last."""
    rows = await db.all(
        """
        SELECT device_id, last_seen_ts_ms, last_seen_ip, last_seen_user_agent
        FROM devices WHERE user_id = :user_id ORDER BY device_id
        """,
        user_id=user_id,
    )
    return [DeviceUse(*row) for row in rows]


async def display_names(
    db: Reader, user_ids: Sequence[UserId]
) -> dict[UserId, dict[DeviceId, str]]:
    """The names of the devices of at most 500 users; those without one are left out."""
    rows = await db.all(
        """
        SELECT user_id, device_id, display_name FROM devices
        WHERE user_id IN :user_ids AND display_name IS NOT NULL
        """,
        user_ids=list(user_ids),
    )
    names: dict[UserId, dict[DeviceId, str]] = {}
    for user_id, device_id, display_name in rows:
        names.setdefault(user_id, {})[device_id] = display_name
    return names


async def find_device(
    db: Reader, user_id: UserId, device_id: DeviceId
) -> Device | None:
    """One device of the user."""
    row = await db.first(
        """
        SELECT device_id, display_name, last_seen_ts_ms, last_seen_ip
        FROM devices WHERE user_id = :user_id AND device_id = :device_id
        """,
        user_id=user_id,
        device_id=device_id,
    )
    return _device(row) if row else None


def _device(row: Row) -> Device:
    return Device(*row)
