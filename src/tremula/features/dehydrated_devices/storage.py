"""Queries on ``dehydrated_devices`` (migrations/0026_dehydrated_devices.sql)."""

from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import DeviceId, UserId


class DehydratedDevice(Struct, frozen=True):
    """A row of ``dehydrated_devices``, but for its owner."""

    device_id: DeviceId
    device_data: bytes


async def find_device(db: Reader, user_id: UserId) -> DehydratedDevice | None:
    """The user's dehydrated device."""
    row = await db.first(
        """
        SELECT device_id, device_data FROM dehydrated_devices WHERE user_id = :user_id
        """,
        user_id=user_id,
    )
    return DehydratedDevice(*row) if row else None


def insert_device(unit: Unit, user_id: UserId, device: DehydratedDevice) -> None:
    """Set the device of a user who has none; it conflicts if there is one."""
    unit.run(
        """
        INSERT INTO dehydrated_devices (user_id, device_id, device_data)
        VALUES (:user_id, :device_id, :device_data)
        """,
        user_id=user_id,
        device_id=device.device_id,
        device_data=device.device_data,
    )


def update_device_data(unit: Unit, user_id: UserId, device: DehydratedDevice) -> None:
    """Replace the data of a device."""
    unit.run(
        """
        UPDATE dehydrated_devices SET device_data = :device_data
        WHERE user_id = :user_id AND device_id = :device_id
        """,
        user_id=user_id,
        device_id=device.device_id,
        device_data=device.device_data,
    )


def delete_devices(unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]) -> None:
    """Forget it if it is one of *device_ids* (at most 500)."""
    unit.run(
        """
        DELETE FROM dehydrated_devices
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=list(device_ids),
    )


def delete_of_user(unit: Unit, user_id: UserId, *, but_device_id: str) -> None:
    """Forget the device of a user, unless it is this one."""
    unit.run(
        """
        DELETE FROM dehydrated_devices
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )
