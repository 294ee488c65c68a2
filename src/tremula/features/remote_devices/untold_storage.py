"""Queries on what others are to be told (migrations/0017_device_lists.sql)."""

from collections.abc import Collection, Sequence

from msgspec import Struct

from tremula.infra.backlog import Backlog
from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import DeviceId, UserId

SIGNING_KEYS = DeviceId("")
"""Stands for the cross-signing keys: no device has an empty ID."""


class Untold(Struct, frozen=True):
    """A row of ``remote_devices_untold``."""

    device_id: DeviceId
    pos: int


def upsert_untold(
    unit: Unit, user_id: UserId, device_ids: Collection[DeviceId], *, pos: int
) -> None:
    """These devices of one of our users changed at *pos*."""
    unit.run_many(
        """
        INSERT INTO remote_devices_untold (user_id, device_id, pos)
        VALUES (:user_id, :device_id, :pos)
        ON CONFLICT (user_id, device_id) DO UPDATE SET pos = excluded.pos
        """,
        [
            {"user_id": user_id, "device_id": device_id, "pos": pos}
            for device_id in device_ids
        ],
    )


def delete_untold(unit: Unit, user_id: UserId, told: Sequence[Untold]) -> None:
    """Others are told of these, unless they have changed again."""
    unit.run_many(
        """
        DELETE FROM remote_devices_untold
        WHERE user_id = :user_id AND device_id = :device_id AND pos = :pos
        """,
        [
            {"user_id": user_id, "device_id": each.device_id, "pos": each.pos}
            for each in told
        ],
    )


async def untold_users(db: Reader) -> set[UserId]:
    """Of whom anything is to be told."""
    rows = await db.all("SELECT DISTINCT user_id FROM remote_devices_untold")
    return {UserId(user_id) for (user_id,) in rows}


async def untold(db: Reader, user_id: UserId) -> list[Untold]:
    """What is to be told of a user, in the order of the changes."""
    rows = await db.all(
        """
        SELECT device_id, pos FROM remote_devices_untold
        WHERE user_id = :user_id ORDER BY pos, device_id
        """,
        user_id=user_id,
    )
    return [Untold(*row) for row in rows]


def upsert_told(unit: Unit, user_id: UserId, *, stream_id: int) -> None:
    """The newest update of this user has this ID."""
    unit.run(
        """
        INSERT INTO remote_devices_told (user_id, stream_id)
        VALUES (:user_id, :stream_id)
        ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id
        """,
        user_id=user_id,
        stream_id=stream_id,
    )


async def told_stream_id(db: Reader, user_id: UserId) -> int | None:
    """The ID of the newest update of this user, if there was any."""
    row = await db.first(
        "SELECT stream_id FROM remote_devices_told WHERE user_id = :user_id",
        user_id=user_id,
    )
    return None if row is None else int(row[0])


async def untold_backlog(db: Reader) -> Backlog:
    """Devices of which others are to be told, of how many users."""
    [row] = await db.scan(
        "SELECT COUNT(*), COUNT(DISTINCT user_id) FROM remote_devices_untold"
    )
    return Backlog(*row)
