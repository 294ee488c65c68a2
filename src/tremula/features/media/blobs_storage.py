"""Queries on ``media_blobs``, ``media_garbage``, ``media_quarantined_blobs`` and
``media_store`` (created in migrations/0038_media.sql).

A row whose ``sha256`` is ``reserved:`` and its key is no blob: it reserves the key for
one. With ``given-up:``, nothing will be stored there any more.
"""

from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Unit


class Standing(Struct, frozen=True):
    """Of bytes: ``is_known`` if they are in the store, or somebody is about to put them
    there; ``is_quarantined`` if they are to be served to nobody.
    """

    is_known: bool
    is_quarantined: bool


def claim_blob(
    unit: Unit, sha256: str, *, object_key: str, size_bytes: int, check_ts_ms: int
) -> Returned:
    """Keep the blob until *check_ts_ms* at least: ``(object_key, is_stored)``.

    It is under another key than *object_key* if it was there before.
    """
    return unit.returning(
        """
        INSERT INTO media_blobs (sha256, object_key, size_bytes, is_stored, check_ts_ms)
        VALUES (:sha256, :object_key, :size_bytes, 0, :check_ts_ms)
        ON CONFLICT (sha256) DO UPDATE SET check_ts_ms = excluded.check_ts_ms
        RETURNING object_key, is_stored
        """,
        sha256=sha256,
        object_key=object_key,
        size_bytes=size_bytes,
        check_ts_ms=check_ts_ms,
    )


def mark_stored(
    unit: Unit, sha256: str, *, object_key: str, check_ts_ms: int
) -> Returned:
    """Note that the bytes are in the store: ``(sha256,)``.

    No row if the claim was given up meanwhile: then nothing may refer to them.
    """
    return unit.returning(
        """
        UPDATE media_blobs SET is_stored = 1, check_ts_ms = :check_ts_ms
        WHERE sha256 = :sha256 AND object_key = :object_key
        RETURNING sha256
        """,
        sha256=sha256,
        object_key=object_key,
        check_ts_ms=check_ts_ms,
    )


async def standing_of(db: Reader, sha256: str) -> Standing:
    """What is known of these bytes."""
    row = await db.first(
        """
        SELECT EXISTS (SELECT 1 FROM media_blobs WHERE sha256 = :sha256),
            EXISTS (SELECT 1 FROM media_quarantined_blobs WHERE sha256 = :sha256)
        """,
        sha256=sha256,
    )
    assert row is not None
    return Standing(is_known=bool(row[0]), is_quarantined=bool(row[1]))


def insert_reserved(unit: Unit, keys: Sequence[str], *, check_ts_ms: int) -> None:
    """Reserve *keys*, until *check_ts_ms* at least."""
    unit.run_many(
        """
        INSERT INTO media_blobs (sha256, object_key, size_bytes, is_stored, check_ts_ms)
        VALUES (:sha256, :object_key, 0, 0, :check_ts_ms)
        """,
        [
            {
                "sha256": f"reserved:{key}",
                "object_key": key,
                "check_ts_ms": check_ts_ms,
            }
            for key in keys
        ],
    )


def fill_reserved(
    unit: Unit, object_key: str, *, sha256: str, size_bytes: int
) -> Returned:
    """Note that the bytes are in the store: ``(sha256,)``.

    They are looked at when the key was to be, as *unit* has what refers to them: so an
    index less is written.

    No row if the key was given up meanwhile: then nothing may refer to them. The unit
    is refused with `Conflict` if the same bytes are there already, under another key.
    """
    return unit.returning(
        """
        UPDATE media_blobs
        SET sha256 = :sha256, size_bytes = :size_bytes, is_stored = 1
        WHERE sha256 = :reserved
        RETURNING sha256
        """,
        reserved=f"reserved:{object_key}",
        sha256=sha256,
        size_bytes=size_bytes,
    )


def give_up_reserved(unit: Unit, *, now_ms: int) -> None:
    """Let nobody store anything under the keys whose time is over, which are blobs that
    nothing refers to from then on.
    """
    unit.run(
        """
        UPDATE media_blobs SET sha256 = 'given-up:' || object_key
        WHERE check_ts_ms <= :now_ms AND sha256 = 'reserved:' || object_key
        """,
        now_ms=now_ms,
    )


async def due_blobs(db: Reader, *, now_ms: int, limit: int) -> list[tuple[str, str]]:
    """What is to be looked at: ``(sha256, object_key)``."""
    rows = await db.all(
        """
        SELECT sha256, object_key FROM media_blobs
        WHERE check_ts_ms <= :now_ms
        ORDER BY check_ts_ms
        LIMIT :limit
        """,
        now_ms=now_ms,
        limit=limit,
    )
    return [(sha256, object_key) for sha256, object_key in rows]


def settle_blobs(unit: Unit, blobs: Sequence[tuple[str, str]], *, now_ms: int) -> None:
    """Of *blobs*, make garbage of what nothing refers to, with its thumbnails.

    Whoever claims one meanwhile moves its ``check_ts_ms``, in the row that this has to
    lock: so either it is left alone, or the claim finds it gone.
    """
    rows = [
        {"sha256": sha256, "object_key": key, "now_ms": now_ms} for sha256, key in blobs
    ]
    unit.run_many(
        """
        DELETE FROM media_blobs
        WHERE sha256 = :sha256 AND object_key = :object_key AND check_ts_ms <= :now_ms
            AND NOT EXISTS (
                SELECT 1 FROM media WHERE media.sha256 = media_blobs.sha256
            )
            AND NOT EXISTS (
                SELECT 1 FROM media_thumbnails AS thumbnails
                WHERE thumbnails.sha256 = media_blobs.sha256
            )
        """,
        rows,
    )
    unit.run_many(
        """
        INSERT INTO media_garbage (object_key)
        SELECT CAST(:object_key AS TEXT) WHERE NOT EXISTS (
            SELECT 1 FROM media_blobs
            WHERE sha256 = :sha256 AND object_key = :object_key
        )
        ON CONFLICT (object_key) DO NOTHING
        """,
        [{"sha256": sha256, "object_key": key} for sha256, key in blobs],
    )
    unit.run_many(
        """
        UPDATE media_blobs SET check_ts_ms = NULL
        WHERE sha256 = :sha256 AND object_key = :object_key AND check_ts_ms <= :now_ms
        """,
        rows,
    )
    unit.run_many(
        """
        UPDATE media_blobs SET check_ts_ms = :check_ts_ms
        WHERE sha256 IN (
            SELECT sha256 FROM media_thumbnails
            WHERE source_sha256 = :sha256 AND sha256 IS NOT NULL
        )
        AND NOT EXISTS (SELECT 1 FROM media_blobs WHERE sha256 = :sha256)
        """,
        [{"sha256": sha256, "check_ts_ms": now_ms + 1} for sha256, _ in blobs],
    )
    unit.run_many(
        """
        DELETE FROM media_thumbnails
        WHERE source_sha256 = :sha256
            AND NOT EXISTS (SELECT 1 FROM media_blobs WHERE sha256 = :sha256)
        """,
        [{"sha256": sha256} for sha256, _ in blobs],
    )


async def garbage(db: Reader, *, limit: int) -> list[str]:
    """Objects that are to be deleted."""
    rows = await db.all(
        "SELECT object_key FROM media_garbage ORDER BY object_key LIMIT :limit",
        limit=limit,
    )
    return [key for (key,) in rows]


def delete_garbage(unit: Unit, keys: Sequence[str]) -> None:
    """Forget objects that are deleted."""
    unit.run_many(
        "DELETE FROM media_garbage WHERE object_key = :key",
        [{"key": key} for key in keys],
    )


async def total_bytes(db: Reader) -> int:
    """What all blobs weigh."""
    [(size_bytes,)] = await db.scan(
        "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM media_blobs"
    )
    total: int = size_bytes
    return total


def insert_quarantined(unit: Unit, sha256: str, *, quarantined_by: str) -> None:
    """Hide these bytes."""
    unit.run(
        """
        INSERT INTO media_quarantined_blobs (sha256, quarantined_by)
        VALUES (:sha256, :quarantined_by)
        ON CONFLICT DO NOTHING
        """,
        sha256=sha256,
        quarantined_by=quarantined_by,
    )


def delete_quarantined(unit: Unit, sha256: str) -> None:
    """Show these bytes again."""
    unit.run(
        "DELETE FROM media_quarantined_blobs WHERE sha256 = :sha256", sha256=sha256
    )


async def find_store_mark(db: Reader) -> str | None:
    """What the store was marked with."""
    row = await db.first("SELECT mark FROM media_store WHERE id = 1")
    return row[0] if row else None


def insert_store_mark(unit: Unit, mark: str) -> Returned:
    """Note down the store's mark: ``(mark,)``, or no row if there is one."""
    return unit.returning(
        """
        INSERT INTO media_store (id, mark) VALUES (1, :mark)
        ON CONFLICT DO NOTHING
        RETURNING mark
        """,
        mark=mark,
    )
