"""Queries on ``sliding_sync_states`` (0031_sliding_sync.sql)."""

from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import DeviceId, UserId


class ConnectionKey(Struct, frozen=True):
    """Names a connection; an ID of a client's own choice for each of a device."""

    user_id: UserId
    device_id: DeviceId
    conn_id: str


class StateRow(Struct, frozen=True):
    """A row but for its connection."""

    version: int
    used_ts_ms: int
    rooms: bytes


async def find_state(db: Reader, key: ConnectionKey, version: int) -> StateRow | None:
    """The state after an answer, if it is still known."""
    row = await db.first(
        """
        SELECT version, used_ts_ms, rooms FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id = :device_id AND conn_id = :conn_id
          AND version = :version
        """,
        user_id=key.user_id,
        device_id=key.device_id,
        conn_id=key.conn_id,
        version=version,
    )
    return StateRow(*row) if row else None


async def versions_of(db: Reader, key: ConnectionKey) -> list[int]:
    """Those of a connection, in order."""
    rows = await db.all(
        """
        SELECT version FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id = :device_id AND conn_id = :conn_id
        ORDER BY version
        """,
        user_id=key.user_id,
        device_id=key.device_id,
        conn_id=key.conn_id,
    )
    return [version for (version,) in rows]


async def connections_of(db: Reader, key: ConnectionKey) -> list[str]:
    """The connections of a device, in the order of their last use."""
    rows = await db.all(
        """
        SELECT conn_id FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id = :device_id
        GROUP BY conn_id ORDER BY MAX(used_ts_ms), conn_id
        """,
        user_id=key.user_id,
        device_id=key.device_id,
    )
    return [conn_id for (conn_id,) in rows]


def insert_state(unit: Unit, key: ConnectionKey, state: StateRow) -> None:
    """Keep the state after a new answer."""
    unit.run(
        """
        INSERT INTO sliding_sync_states (user_id, device_id, conn_id, version,
                                         used_ts_ms, rooms)
        VALUES (:user_id, :device_id, :conn_id, :version, :used_ts_ms, :rooms)
        """,
        user_id=key.user_id,
        device_id=key.device_id,
        conn_id=key.conn_id,
        version=state.version,
        used_ts_ms=state.used_ts_ms,
        rooms=state.rooms,
    )


def update_used(
    unit: Unit, key: ConnectionKey, version: int, *, used_ts_ms: int
) -> None:
    """Note that the client has come with this version."""
    unit.run(
        """
        UPDATE sliding_sync_states SET used_ts_ms = :used_ts_ms
        WHERE user_id = :user_id AND device_id = :device_id AND conn_id = :conn_id
          AND version = :version
        """,
        user_id=key.user_id,
        device_id=key.device_id,
        conn_id=key.conn_id,
        version=version,
        used_ts_ms=used_ts_ms,
    )


def delete_versions(unit: Unit, key: ConnectionKey, versions: Sequence[int]) -> None:
    """Forget the states after some answers."""
    unit.run_many(
        """
        DELETE FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id = :device_id AND conn_id = :conn_id
          AND version = :version
        """,
        [
            {
                "user_id": key.user_id,
                "device_id": key.device_id,
                "conn_id": key.conn_id,
                "version": version,
            }
            for version in versions
        ],
    )


def delete_connections(
    unit: Unit, user_id: UserId, device_id: DeviceId, conn_ids: Sequence[str]
) -> None:
    """Forget connections of a device."""
    unit.run_many(
        """
        DELETE FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id = :device_id AND conn_id = :conn_id
        """,
        [
            {"user_id": user_id, "device_id": device_id, "conn_id": conn_id}
            for conn_id in conn_ids
        ],
    )


def delete_of_devices(
    unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]
) -> None:
    """Forget all connections of some devices."""
    unit.run_many(
        """
        DELETE FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id = :device_id
        """,
        [{"user_id": user_id, "device_id": device_id} for device_id in device_ids],
    )


def delete_of_user(unit: Unit, user_id: UserId, *, but_device_id: str) -> None:
    """Forget the connections of all of a user's devices but one."""
    unit.run(
        """
        DELETE FROM sliding_sync_states
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )


def delete_unused(unit: Unit, *, before_ts_ms: int) -> None:
    """Forget what nobody has come back to since (sliding_sync_states_by_use)."""
    unit.run(
        "DELETE FROM sliding_sync_states WHERE used_ts_ms < :before_ts_ms",
        before_ts_ms=before_ts_ms,
    )
