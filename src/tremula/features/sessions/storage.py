"""Queries on ``sessions_grants`` (created in migrations/0003_accounts.sql)."""

from collections.abc import Sequence

from tremula.infra.db import Reader, Returned, Row, Unit
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.unprinted import Unprinted


class Grant(Unprinted, frozen=True):
    """A row of ``sessions_grants``: an access token and its refresh token, hashed."""

    grant_id: int
    user_id: UserId
    device_id: DeviceId
    access_hash: bytes
    access_expires_ts_ms: int | None
    refresh_hash: bytes | None
    refresh_expires_ts_ms: int | None
    replaces_grant_id: int | None


def insert_grant(unit: Unit, grant: Grant) -> None:
    """Store the tokens of a login."""
    unit.run(
        """
        INSERT INTO sessions_grants (
            grant_id, user_id, device_id, access_hash, access_expires_ts_ms,
            refresh_hash, refresh_expires_ts_ms)
        VALUES (:grant_id, :user_id, :device_id, :access_hash, :access_expires_ts_ms,
                :refresh_hash, :refresh_expires_ts_ms)
        """,
        grant_id=grant.grant_id,
        user_id=grant.user_id,
        device_id=grant.device_id,
        access_hash=grant.access_hash,
        access_expires_ts_ms=grant.access_expires_ts_ms,
        refresh_hash=grant.refresh_hash,
        refresh_expires_ts_ms=grant.refresh_expires_ts_ms,
    )


def insert_successor(unit: Unit, grant: Grant) -> Returned:
    """Store the tokens that replace a grant, if that one still exists.

    Returns one row if so, and none if it was revoked or its successor has been used.
    """
    return unit.returning(
        """
        INSERT INTO sessions_grants (
            grant_id, user_id, device_id, access_hash, access_expires_ts_ms,
            refresh_hash, refresh_expires_ts_ms, replaces_grant_id)
        SELECT CAST(:grant_id AS BIGINT), user_id, device_id,
               :access_hash, CAST(:access_expires_ts_ms AS BIGINT),
               :refresh_hash, CAST(:refresh_expires_ts_ms AS BIGINT), grant_id
        FROM sessions_grants WHERE grant_id = :replaces_grant_id
        RETURNING grant_id
        """,
        grant_id=grant.grant_id,
        access_hash=grant.access_hash,
        access_expires_ts_ms=grant.access_expires_ts_ms,
        refresh_hash=grant.refresh_hash,
        refresh_expires_ts_ms=grant.refresh_expires_ts_ms,
        replaces_grant_id=grant.replaces_grant_id,
    )


def delete_successors(unit: Unit, grant: Grant) -> None:
    """Drop what *grant* was refreshed into before and what never was used."""
    unit.run(
        """
        DELETE FROM sessions_grants
        WHERE user_id = :user_id AND device_id = :device_id
          AND replaces_grant_id = :grant_id
        """,
        user_id=grant.user_id,
        device_id=grant.device_id,
        grant_id=grant.grant_id,
    )


def update_used(unit: Unit, grant: Grant) -> None:
    """Revoke what *grant* replaces, now that one of its tokens is used."""
    unit.run(
        "DELETE FROM sessions_grants WHERE grant_id = :grant_id",
        grant_id=grant.replaces_grant_id,
    )
    unit.run(
        """
        UPDATE sessions_grants SET replaces_grant_id = NULL
        WHERE grant_id = :grant_id
        """,
        grant_id=grant.grant_id,
    )


def delete_grants_of_devices(
    unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]
) -> None:
    """Revoke every token of the devices (at most 500)."""
    unit.run(
        """
        DELETE FROM sessions_grants
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=list(device_ids),
    )


def delete_grants_of_user(
    unit: Unit, user_id: UserId, *, but_device_id: DeviceId | None
) -> None:
    """Revoke every token of the user but those of one device."""
    unit.run(
        """
        DELETE FROM sessions_grants
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        # No device has an empty id.
        but_device_id=but_device_id or "",
    )


async def grant_by_access(db: Reader, access_hash: bytes) -> Grant | None:
    """The grant of an access token."""
    row = await db.first(
        """
        SELECT grant_id, user_id, device_id, access_hash, access_expires_ts_ms,
               refresh_hash, refresh_expires_ts_ms, replaces_grant_id
        FROM sessions_grants WHERE access_hash = :access_hash
        """,
        access_hash=access_hash,
    )
    return _grant(row) if row else None


async def grant_by_refresh(db: Reader, refresh_hash: bytes) -> Grant | None:
    """The grant of a refresh token."""
    row = await db.first(
        """
        SELECT grant_id, user_id, device_id, access_hash, access_expires_ts_ms,
               refresh_hash, refresh_expires_ts_ms, replaces_grant_id
        FROM sessions_grants WHERE refresh_hash = :refresh_hash
        """,
        refresh_hash=refresh_hash,
    )
    return _grant(row) if row else None


def _grant(row: Row) -> Grant:
    return Grant(*row)
