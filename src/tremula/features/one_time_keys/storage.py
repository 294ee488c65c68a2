"""Queries on ``one_time_keys`` and ``one_time_keys_fallback``."""

from collections.abc import Sequence
from typing import Final, LiteralString

import orjson
from msgspec import Struct

from tremula.infra.db import Engine, Reader, Returned, Unit
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import OneTimeKey

# All contents come as one blob, and where each is in it as JSON, {key_id: place}: as
# strings in JSON they would have to be escaped, and 50 rows one by one cost more still.
_INSERT_SQLITE: Final[LiteralString] = """
    INSERT INTO one_time_keys (user_id, device_id, algorithm, is_claimed, pos,
                               key_id, content)
    SELECT :user_id, :device_id, :algorithm, 0, :pos, key,
        substr(:contents, value / 8192, value % 8192)
    FROM json_each(:places)
"""
_INSERT_POSTGRES: Final[LiteralString] = """
    INSERT INTO one_time_keys (user_id, device_id, algorithm, is_claimed, pos,
                               key_id, content)
    SELECT CAST(:user_id AS TEXT), CAST(:device_id AS TEXT),
        CAST(:algorithm AS TEXT), 0, CAST(:pos AS BIGINT), key,
        substring(CAST(:contents AS BYTEA)
            FROM CAST(CAST(value AS BIGINT) / 8192 AS INTEGER)
            FOR CAST(CAST(value AS BIGINT) % 8192 AS INTEGER))
    FROM json_each_text(CAST(CAST(:places AS TEXT) AS JSON))
"""
# More than the bytes of any content: a place is where it starts, times this, plus them.
_PLACE: Final = 8192


class KeyClaim(Struct, frozen=True):
    """One key of one device is wanted."""

    user_id: UserId
    device_id: DeviceId
    algorithm: str


class StoredKey(Struct, frozen=True):
    """What is stored under the name of a key."""

    content: bytes
    is_claimed: bool


class FallbackKey(Struct, frozen=True):
    """A row of ``one_time_keys_fallback``; *is_used*: it was given out."""

    key: OneTimeKey
    is_used: bool


def insert_keys(
    unit: Unit,
    user_id: UserId,
    device_id: DeviceId,
    keys: Sequence[OneTimeKey],
    *,
    pos: int,
    engine: Engine,
) -> None:
    """Add keys, whose names must be new. One statement for all of an algorithm."""
    by_algorithm: dict[str, list[OneTimeKey]] = {}
    for key in keys:
        by_algorithm.setdefault(key.algorithm, []).append(key)
    for algorithm, alike in by_algorithm.items():
        places: dict[str, int] = {}
        start = 1
        for key in alike:
            places[key.key_id] = start * _PLACE + len(key.content)
            start += len(key.content)
        unit.run(
            _INSERT_POSTGRES if engine is Engine.POSTGRES else _INSERT_SQLITE,
            user_id=user_id,
            device_id=device_id,
            algorithm=algorithm,
            pos=pos,
            contents=b"".join([key.content for key in alike]),
            places=orjson.dumps(places).decode(),
        )


async def keys_by_id(
    db: Reader, user_id: UserId, device_id: DeviceId, key_ids: Sequence[str]
) -> dict[tuple[str, str], StoredKey]:
    """The keys with these IDs (at most 500), by algorithm and ID."""
    rows = await db.all(
        """
        SELECT algorithm, key_id, content, is_claimed FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id AND key_id IN :key_ids
        """,
        user_id=user_id,
        device_id=device_id,
        key_ids=list(key_ids),
    )
    return {
        (algorithm, key_id): StoredKey(content, bool(is_claimed))
        for algorithm, key_id, content, is_claimed in rows
    }


async def counts_by_algorithm(
    db: Reader, user_id: UserId, device_id: DeviceId
) -> dict[str, int]:
    """How many keys a device has that nobody claimed; algorithms without are absent."""
    rows = await db.all(
        """
        SELECT algorithm, COUNT(*) FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id AND is_claimed = 0
        GROUP BY algorithm
        """,
        user_id=user_id,
        device_id=device_id,
    )
    return dict(rows)


def update_oldest_claimed(unit: Unit, claim: KeyClaim, engine: Engine) -> Returned:
    """Give out the key that was uploaded first: ``(key_id, content)``, or no row.

    On PostgreSQL, several processes write: who finds a key being taken takes the next.
    """
    if engine is Engine.POSTGRES:
        return unit.returning(
            """
            UPDATE one_time_keys SET is_claimed = 1
            WHERE user_id = :user_id AND device_id = :device_id
                AND algorithm = :algorithm AND is_claimed = 0 AND (pos, key_id) = (
                    SELECT o.pos, o.key_id FROM one_time_keys o
                    WHERE o.user_id = :user_id AND o.device_id = :device_id
                        AND o.algorithm = :algorithm AND o.is_claimed = 0
                    ORDER BY o.pos, o.key_id LIMIT 1 FOR UPDATE SKIP LOCKED
                )
            RETURNING key_id, content
            """,
            user_id=claim.user_id,
            device_id=claim.device_id,
            algorithm=claim.algorithm,
        )
    return unit.returning(
        """
        UPDATE one_time_keys SET is_claimed = 1
        WHERE user_id = :user_id AND device_id = :device_id
            AND algorithm = :algorithm AND is_claimed = 0 AND (pos, key_id) = (
                SELECT o.pos, o.key_id FROM one_time_keys o
                WHERE o.user_id = :user_id AND o.device_id = :device_id
                    AND o.algorithm = :algorithm AND o.is_claimed = 0
                ORDER BY o.pos, o.key_id LIMIT 1
            )
        RETURNING key_id, content
        """,
        user_id=claim.user_id,
        device_id=claim.device_id,
        algorithm=claim.algorithm,
    )


def delete_claimed_before_last_upload(
    unit: Unit, user_id: UserId, device_id: DeviceId
) -> None:
    """Forget keys that were given out, but for those that were uploaded last."""
    unit.run(
        """
        DELETE FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id AND is_claimed = 1
            AND pos < (
                SELECT MAX(newer.pos) FROM one_time_keys newer
                WHERE newer.user_id = :user_id AND newer.device_id = :device_id
            )
        """,
        user_id=user_id,
        device_id=device_id,
    )


def delete_claimed(
    unit: Unit, user_id: UserId, device_id: DeviceId, keys: Sequence[OneTimeKey]
) -> None:
    """Make room for other keys of these names."""
    unit.run_many(
        """
        DELETE FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id
            AND algorithm = :algorithm AND key_id = :key_id AND is_claimed = 1
        """,
        [
            {
                "user_id": user_id,
                "device_id": device_id,
                "algorithm": key.algorithm,
                "key_id": key.key_id,
            }
            for key in keys
        ],
    )


def upsert_fallback_key(
    unit: Unit, user_id: UserId, device_id: DeviceId, key: OneTimeKey
) -> None:
    """Replace that of its algorithm; the same key stays as used as it is."""
    unit.run(
        """
        INSERT INTO one_time_keys_fallback (user_id, device_id, algorithm, key_id,
                                            content, is_used)
        VALUES (:user_id, :device_id, :algorithm, :key_id, :content, 0)
        ON CONFLICT (user_id, device_id, algorithm) DO UPDATE
        SET key_id = excluded.key_id, content = excluded.content, is_used = 0
        WHERE one_time_keys_fallback.key_id <> excluded.key_id
            OR one_time_keys_fallback.content <> excluded.content
        """,
        user_id=user_id,
        device_id=device_id,
        algorithm=key.algorithm,
        key_id=key.key_id,
        content=key.content,
    )


async def fallback_keys(
    db: Reader, user_id: UserId, device_id: DeviceId
) -> list[FallbackKey]:
    """The fallback keys of a device, in order of their algorithms."""
    rows = await db.all(
        """
        SELECT algorithm, key_id, content, is_used FROM one_time_keys_fallback
        WHERE user_id = :user_id AND device_id = :device_id ORDER BY algorithm
        """,
        user_id=user_id,
        device_id=device_id,
    )
    return [FallbackKey(OneTimeKey(*key), bool(is_used)) for *key, is_used in rows]


def update_fallback_used(unit: Unit, claim: KeyClaim, key_id: str) -> None:
    """A fallback key was given out."""
    unit.run(
        """
        UPDATE one_time_keys_fallback SET is_used = 1
        WHERE user_id = :user_id AND device_id = :device_id
            AND algorithm = :algorithm AND key_id = :key_id
        """,
        user_id=claim.user_id,
        device_id=claim.device_id,
        algorithm=claim.algorithm,
        key_id=key_id,
    )


def delete_of_devices(
    unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]
) -> None:
    """Remove all keys of some devices (at most 500)."""
    unit.run(
        """
        DELETE FROM one_time_keys
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=list(device_ids),
    )
    unit.run(
        """
        DELETE FROM one_time_keys_fallback
        WHERE user_id = :user_id AND device_id IN :device_ids
        """,
        user_id=user_id,
        device_ids=list(device_ids),
    )


def delete_of_user(unit: Unit, user_id: UserId, *, but_device_id: str) -> None:
    """Remove all keys of the user's devices but one."""
    unit.run(
        """
        DELETE FROM one_time_keys
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )
    unit.run(
        """
        DELETE FROM one_time_keys_fallback
        WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id,
    )
