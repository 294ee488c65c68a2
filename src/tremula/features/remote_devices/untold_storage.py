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


def delete_untold_of(unit: Unit, user_ids: Sequence[UserId], *, up_to: int) -> None:
    """Forget what is to be told of users (at most 500) that changed up to there."""
    unit.run(
        """
        DELETE FROM remote_devices_untold
        WHERE user_id IN :user_ids AND pos <= :up_to
        """,
        user_ids=list(user_ids),
        up_to=up_to,
    )


async def untold_users(db: Reader) -> set[UserId]:
    """Of whom anything is to be told."""
    rows = await db.all("SELECT DISTINCT user_id FROM remote_devices_untold")
    return {UserId(user_id) for (user_id,) in rows}


async def untold(db: Reader, user_id: UserId, *, up_to: int) -> list[Untold]:
    """What is to be told of a user, of what changed up to a position, in that order."""
    rows = await db.all(
        """
        SELECT device_id, pos FROM remote_devices_untold
        WHERE user_id = :user_id AND pos <= :up_to ORDER BY pos, device_id
        """,
        user_id=user_id,
        up_to=up_to,
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


def upsert_told_of(
    unit: Unit, user_ids: Sequence[UserId], *, up_to: int, stream_id: int
) -> None:
    """Those of these users (at most 500) of whom a device is untold that changed up to
    a position have an update with this ID.
    """
    unit.run(
        """
        INSERT INTO remote_devices_told (user_id, stream_id)
        SELECT DISTINCT user_id, CAST(:stream_id AS BIGINT) FROM remote_devices_untold
        WHERE user_id IN :user_ids AND device_id <> :signing_keys AND pos <= :up_to
        ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id
        """,
        user_ids=list(user_ids),
        signing_keys=SIGNING_KEYS,
        up_to=up_to,
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
