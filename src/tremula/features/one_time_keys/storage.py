"""Queries on ``one_time_keys`` and ``one_time_keys_fallback``."""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Final, LiteralString

import orjson
from msgspec import Struct

from tremula.infra.db import Engine, Params, Reader, Returned, Row, Unit
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import KeyBatch, OneTimeKey

# Of keys with their places: as much as fits into a page beside the names of the device.
# Pages are what an upload costs.
_ROW_BYTES: Final = 3_900
# Of a key's place, usually: {"AAAAAQ":1234,
_PLACE_BYTES: Final = 14

_INSERT: Final[LiteralString] = """
    INSERT INTO one_time_keys (user_id, device_id, algorithm, upload, part, claimed,
                               total, places, contents)
    VALUES (:user_id, :device_id, :algorithm, :upload, :part, 0, :total, :places,
            :contents)
"""
# Several processes claim at once: with a key a row, none has to wait for another. All
# come in one statement, and are taken apart there.
_INSERT_POSTGRES: Final[LiteralString] = """
    INSERT INTO one_time_keys (user_id, device_id, algorithm, upload, part, claimed,
                               total, places, contents)
    SELECT CAST(:user_id AS TEXT), CAST(:device_id AS TEXT), CAST(:algorithm AS TEXT),
        CAST(:upload AS BIGINT), part, 0, 1,
        CAST(json_build_object(key_id, ends - starts) AS TEXT),
        substring(CAST(:contents AS BYTEA) FROM starts + 1 FOR ends - starts)
    FROM (
        SELECT key_id, number - 1 + CAST(:part AS BIGINT) AS part,
            CAST(place AS INTEGER) AS ends,
            COALESCE(LAG(CAST(place AS INTEGER)) OVER (ORDER BY number), 0) AS starts
        FROM json_each_text(CAST(CAST(:places AS TEXT) AS JSON)) WITH ORDINALITY
            AS given (key_id, place, number)
    ) AS apart
"""


class KeyClaim(Struct, frozen=True):
    """One key of one device is wanted."""

    user_id: UserId
    device_id: DeviceId
    algorithm: str


class StoredKey(Struct, frozen=True):
    """What is stored under the name of a key."""

    content: bytes
    is_claimed: bool


class KeyRow(Struct, frozen=True):
    """A row of ``one_time_keys`` without the keys themselves."""

    algorithm: str
    upload: int
    claimed: int
    key_ids: Collection[str]

    @property
    def left(self) -> int:
        """How many of its keys nobody claimed."""
        return len(self.key_ids) - self.claimed


class FallbackKey(Struct, frozen=True):
    """A row of ``one_time_keys_fallback``; *is_used*: it was given out."""

    key: OneTimeKey
    is_used: bool


def insert_keys(
    unit: Unit,
    user_id: UserId,
    device_id: DeviceId,
    keys: Sequence[KeyBatch],
    *,
    upload: int,
    engine: Engine,
) -> None:
    """Add keys as the device's *upload*, of which there must be none yet.

    One row of parameters for all of an algorithm; on SQLite, as few as there are pages.
    """
    on_postgres = engine is Engine.POSTGRES
    rows: list[Params] = []
    for batch in keys:
        in_row = len(batch.key_ids) if on_postgres else _keys_in_page(batch)
        for part, start in enumerate(range(0, len(batch.key_ids), in_row)):
            contents = batch.contents[start : start + in_row]
            ends = accumulate(map(len, contents))
            key_ids = batch.key_ids[start : start + in_row]
            rows.append(
                {
                    "user_id": user_id,
                    "device_id": device_id,
                    "algorithm": batch.algorithm,
                    "upload": upload,
                    "part": part,
                    "total": len(key_ids),
                    "places": orjson.dumps(
                        dict(zip(key_ids, ends, strict=True))
                    ).decode(),
                    "contents": b"".join(contents),
                }
            )
    unit.run_many(_INSERT_POSTGRES if on_postgres else _INSERT, rows)


async def rows_of_device(
    db: Reader, user_id: UserId, device_id: DeviceId
) -> list[KeyRow]:
    """What a device has, and had lately: of each algorithm, the oldest first."""
    rows = await db.all(
        """
        SELECT algorithm, upload, claimed, places FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id
        ORDER BY algorithm, upload, part
        """,
        user_id=user_id,
        device_id=device_id,
    )
    return [
        KeyRow(algorithm, upload, claimed, orjson.loads(places).keys())
        for algorithm, upload, claimed, places in rows
    ]


async def keys_of_uploads(
    db: Reader, user_id: UserId, device_id: DeviceId, uploads: Collection[int]
) -> dict[tuple[str, str], StoredKey]:
    """The keys of some uploads (at most 500), by algorithm and ID.

    Of several with one name it is the newest: the others were given out before it came.
    """
    rows = await db.all(
        """
        SELECT algorithm, claimed, places, contents FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id AND upload IN :uploads
        ORDER BY upload, part
        """,
        user_id=user_id,
        device_id=device_id,
        uploads=list(uploads),
    )
    return {
        (algorithm, key_id): StoredKey(content, number < claimed)
        for algorithm, claimed, places, contents in rows
        for number, (key_id, content) in enumerate(_keys_in(places, contents))
    }


async def counts_by_algorithm(
    db: Reader, user_id: UserId, device_id: DeviceId
) -> dict[str, int]:
    """How many keys a device has that nobody claimed; algorithms without are absent."""
    rows = await db.all(
        """
        SELECT algorithm, CAST(SUM(total - claimed) AS BIGINT) FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id AND claimed < total
        GROUP BY algorithm
        """,
        user_id=user_id,
        device_id=device_id,
    )
    return dict(rows)


def update_oldest_claimed(unit: Unit, claim: KeyClaim, engine: Engine) -> Returned:
    """Give out the key that was uploaded first: a row for `claimed_key`, or none.

    On PostgreSQL, several processes write: who finds a key being taken takes the next.
    """
    if engine is Engine.POSTGRES:
        return unit.returning(
            """
            UPDATE one_time_keys SET claimed = claimed + 1
            WHERE user_id = :user_id AND device_id = :device_id
                AND algorithm = :algorithm AND claimed < total AND (upload, part) = (
                    SELECT o.upload, o.part FROM one_time_keys o
                    WHERE o.user_id = :user_id AND o.device_id = :device_id
                        AND o.algorithm = :algorithm AND o.claimed < o.total
                    ORDER BY o.upload, o.part LIMIT 1 FOR UPDATE SKIP LOCKED
                )
            RETURNING claimed, places, contents
            """,
            user_id=claim.user_id,
            device_id=claim.device_id,
            algorithm=claim.algorithm,
        )
    return unit.returning(
        """
        UPDATE one_time_keys SET claimed = claimed + 1
        WHERE rowid = (
            SELECT o.rowid FROM one_time_keys o
            WHERE o.user_id = :user_id AND o.device_id = :device_id
                AND o.algorithm = :algorithm AND o.claimed < o.total
            ORDER BY o.upload, o.part LIMIT 1
        )
        RETURNING claimed, places, contents
        """,
        user_id=claim.user_id,
        device_id=claim.device_id,
        algorithm=claim.algorithm,
    )


def claimed_key(row: Row) -> tuple[str, bytes]:
    """``(key_id, content)`` of what `update_oldest_claimed` has returned."""
    claimed: int
    claimed, places, contents = row
    ends = list(orjson.loads(places).items())
    key_id, end = ends[claimed - 1]
    start = ends[claimed - 2][1] if claimed > 1 else 0
    return key_id, contents[start:end]


def delete_claimed(
    unit: Unit, user_id: UserId, device_id: DeviceId, *, last_upload: int
) -> None:
    """Forget keys that were given out with all of their row, but for the last upload's.

    An upload that is repeated is the last one.
    """
    unit.run(
        """
        DELETE FROM one_time_keys
        WHERE user_id = :user_id AND device_id = :device_id
            AND claimed = total AND upload < :last_upload
        """,
        user_id=user_id,
        device_id=device_id,
        last_upload=last_upload,
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


def delete_of_device(unit: Unit, user_id: UserId, device_id: DeviceId) -> None:
    """Remove all keys of a device."""
    unit.run(
        """
        DELETE FROM one_time_keys WHERE user_id = :user_id AND device_id = :device_id
        """,
        user_id=user_id,
        device_id=device_id,
    )
    unit.run(
        """
        DELETE FROM one_time_keys_fallback
        WHERE user_id = :user_id AND device_id = :device_id
        """,
        user_id=user_id,
        device_id=device_id,
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


def _keys_in_page(batch: KeyBatch) -> int:
    """How many of these keys go into a row, if all rows are to have as many."""
    keys = len(batch.contents)
    size_bytes = sum(map(len, batch.contents)) + keys * _PLACE_BYTES
    rows = -(-size_bytes // _ROW_BYTES)
    return -(-keys // rows)


def _keys_in(places: str, contents: bytes) -> list[tuple[str, bytes]]:
    """``(key_id, content)`` of each key of a row, in order."""
    keys: list[tuple[str, bytes]] = []
    start = 0
    for key_id, end in orjson.loads(places).items():
        keys.append((key_id, contents[start:end]))
        start = end
    return keys
