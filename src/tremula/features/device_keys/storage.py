"""Queries on ``device_keys…`` (created in migrations/0019_device_keys.sql).

A key is named by its device ID or, if it is for cross-signing, by its public half.
"""

from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Row, Unit
from tremula.protocol.device_keys import Usage
from tremula.protocol.identifiers import DeviceId, UserId

_DEVICE = "device"


class StoredKey(Struct, frozen=True):
    """A row of ``device_keys``; ``usage`` is None for devices."""

    user_id: UserId
    name: str
    usage: Usage | None
    key_json: bytes | None


class Signature(Struct, frozen=True):
    """A row of ``device_keys_signatures``, but for its position."""

    user_id: UserId
    target_user_id: UserId
    target_name: str
    signing_name: str
    signature: str


async def keys_of_users(db: Reader, user_ids: Sequence[UserId]) -> list[StoredKey]:
    """All keys of at most 500 users, and their devices without any."""
    rows = await db.all(
        """
        SELECT user_id, name, usage, key_json
        FROM device_keys WHERE user_id IN :user_ids
        """,
        user_ids=list(user_ids),
    )
    return [_stored_key(row) for row in rows]


async def find_key(db: Reader, user_id: UserId, name: str) -> StoredKey | None:
    """A key of either kind, or a device without one."""
    row = await db.first(
        """
        SELECT user_id, name, usage, key_json
        FROM device_keys WHERE user_id = :user_id AND name = :name
        """,
        user_id=user_id,
        name=name,
    )
    return _stored_key(row) if row else None


async def own_signatures(db: Reader, user_ids: Sequence[UserId]) -> list[Signature]:
    """What at most 500 users have signed of their own keys."""
    rows = await db.all(
        """
        SELECT user_id, target_user_id, target_name, signing_name, signature
        FROM device_keys_signatures
        WHERE user_id IN :user_ids AND target_user_id = user_id
        """,
        user_ids=list(user_ids),
    )
    return [Signature(*row) for row in rows]


async def signatures_by(
    db: Reader, user_id: UserId, target_user_ids: Sequence[UserId]
) -> list[Signature]:
    """What *user_id* has signed of the keys of at most 500 users."""
    rows = await db.all(
        """
        SELECT user_id, target_user_id, target_name, signing_name, signature
        FROM device_keys_signatures
        WHERE user_id = :user_id AND target_user_id IN :target_user_ids
        """,
        user_id=user_id,
        target_user_ids=list(target_user_ids),
    )
    return [Signature(*row) for row in rows]


async def signed_after(db: Reader, user_id: UserId, pos: int) -> set[UserId]:
    """The other users of whom *user_id* has signed a key after *pos*."""
    rows = await db.all(
        """
        SELECT DISTINCT target_user_id FROM device_keys_signatures
        WHERE user_id = :user_id AND target_user_id <> user_id AND pos > :pos
        """,
        user_id=user_id,
        pos=pos,
    )
    return {UserId(target_user_id) for (target_user_id,) in rows}


def insert_device(unit: Unit, user_id: UserId, device_id: DeviceId) -> None:
    """Make room for the keys of a device, unless a key has its name."""
    unit.run(
        """
        INSERT INTO device_keys (user_id, name, usage)
        VALUES (:user_id, :device_id, :usage)
        ON CONFLICT (user_id, name) DO NOTHING
        """,
        user_id=user_id,
        device_id=device_id,
        usage=_DEVICE,
    )


def update_device(
    unit: Unit, user_id: UserId, device_id: DeviceId, key_json: bytes
) -> Returned:
    """Set the keys of a device. No row is returned if it is gone."""
    return unit.returning(
        """
        UPDATE device_keys SET key_json = :key_json
        WHERE user_id = :user_id AND name = :device_id AND usage = :usage
        RETURNING name
        """,
        user_id=user_id,
        device_id=device_id,
        key_json=key_json,
        usage=_DEVICE,
    )


def insert_cross_signing_key(
    unit: Unit, user_id: UserId, name: str, usage: Usage, key_json: bytes
) -> None:
    """Add a key. A device or key of that name, or usage, fails the unit."""
    unit.run(
        """
        INSERT INTO device_keys (user_id, name, usage, key_json)
        VALUES (:user_id, :name, :usage, :key_json)
        """,
        user_id=user_id,
        name=name,
        usage=usage,
        key_json=key_json,
    )


def upsert_signatures(unit: Unit, signatures: Sequence[Signature], *, pos: int) -> None:
    """Add signatures, in the place of earlier ones by the same key."""
    unit.run_many(
        """
        INSERT INTO device_keys_signatures
            (user_id, target_user_id, target_name, signing_name, signature, pos)
        VALUES
            (:user_id, :target_user_id, :target_name, :signing_name, :signature, :pos)
        ON CONFLICT (user_id, target_user_id, target_name, signing_name) DO UPDATE
        SET signature = excluded.signature, pos = excluded.pos
        """,
        [
            {
                "user_id": each.user_id,
                "target_user_id": each.target_user_id,
                "target_name": each.target_name,
                "signing_name": each.signing_name,
                "signature": each.signature,
                "pos": pos,
            }
            for each in signatures
        ],
    )


def delete_keys(unit: Unit, user_id: UserId, names: Sequence[str]) -> None:
    """Remove keys (at most 500) of either kind."""
    unit.run(
        "DELETE FROM device_keys WHERE user_id = :user_id AND name IN :names",
        user_id=user_id,
        names=list(names),
    )


def delete_devices(
    unit: Unit, user_id: UserId, *, but_device_id: DeviceId | None
) -> None:
    """Remove every device of the user but one."""
    unit.run(
        """
        DELETE FROM device_keys
        WHERE user_id = :user_id AND usage = :usage AND name <> :but_device_id
        """,
        user_id=user_id,
        usage=_DEVICE,
        # No device has an empty id.
        but_device_id=but_device_id or "",
    )


def delete_user(unit: Unit, user_id: UserId) -> None:
    """Remove all that a user has, and has signed."""
    unit.run("DELETE FROM device_keys WHERE user_id = :user_id", user_id=user_id)
    unit.run(
        "DELETE FROM device_keys_signatures WHERE user_id = :user_id", user_id=user_id
    )


def delete_signatures_of(unit: Unit, user_id: UserId, name: str) -> None:
    """Remove what a user has signed of a key of theirs, and with it."""
    unit.run(
        """
        DELETE FROM device_keys_signatures
        WHERE user_id = :user_id
            AND (signing_name = :name
                OR (target_user_id = :user_id AND target_name = :name))
        """,
        user_id=user_id,
        name=name,
    )


def delete_orphaned_signatures(unit: Unit, user_id: UserId) -> None:
    """Remove signatures of a user by keys that are gone, and of their keys that are."""
    unit.run(
        """
        DELETE FROM device_keys_signatures
        WHERE user_id = :user_id
            AND (signing_name NOT IN
                    (SELECT name FROM device_keys WHERE user_id = :user_id)
                OR (target_user_id = :user_id AND target_name NOT IN
                    (SELECT name FROM device_keys WHERE user_id = :user_id)))
        """,
        user_id=user_id,
    )


def _stored_key(row: Row) -> StoredKey:
    user_id, name, usage, key_json = row
    kind = None if usage == _DEVICE else Usage(usage)
    return StoredKey(user_id, name, kind, key_json)
