"""Queries on ``media`` (created in migrations/0038_media.sql)."""

from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.db import Engine, Reader, Returned, Row, Unit
from tremula.protocol.identifiers import UserId
from tremula.protocol.mxc import Mxc


class Media(Struct, frozen=True, kw_only=True):
    """What an ``mxc://`` URI stands for; ``sha256`` is None until it is uploaded.

    ``object_key`` is where its bytes are, None as long as they are not stored.
    ``user_id`` is None for what is only kept for a while.
    """

    mxc: Mxc
    user_id: UserId | None
    sha256: str | None
    size_bytes: int
    content_type: str
    filename: str | None
    created_ts_ms: int
    accessed_ts_ms: int
    expires_ts_ms: int | None
    is_public: bool
    is_protected: bool
    object_key: str | None = None
    is_quarantined: bool = False


class Usage(Struct, frozen=True):
    """How many files a user has, how many of them pending, and what they weigh."""

    files: int
    size_bytes: int
    pending: int


class Quota(Struct, frozen=True):
    """How many files a user may have, pending ones not counted, and of what weight."""

    files_max: int
    bytes_max: int


async def find_media(db: Reader, mxc: Mxc) -> Media | None:
    """What *mxc* stands for, with where its bytes are."""
    row = await db.first(
        """
        SELECT media.server_name, media.media_id, media.user_id, media.sha256,
            media.size_bytes, media.content_type, media.filename,
            media.created_ts_ms, media.accessed_ts_ms, media.expires_ts_ms,
            media.is_public, media.is_protected, blobs.object_key,
            CASE WHEN hidden.sha256 IS NULL THEN 0 ELSE 1 END
        FROM media
        LEFT JOIN media_blobs AS blobs
            ON blobs.sha256 = media.sha256 AND blobs.is_stored = 1
        LEFT JOIN media_quarantined_blobs AS hidden ON hidden.sha256 = media.sha256
        WHERE media.server_name = :server_name AND media.media_id = :media_id
        """,
        server_name=mxc.server_name,
        media_id=mxc.media_id,
    )
    return _media(row) if row else None


async def media_of_user(
    db: Reader, user_id: UserId, *, after: str, limit: int
) -> list[Media]:
    """What *user_id* has uploaded or may still, by media ID."""
    rows = await db.all(
        """
        SELECT media.server_name, media.media_id, media.user_id, media.sha256,
            media.size_bytes, media.content_type, media.filename,
            media.created_ts_ms, media.accessed_ts_ms, media.expires_ts_ms,
            media.is_public, media.is_protected, NULL,
            CASE WHEN hidden.sha256 IS NULL THEN 0 ELSE 1 END
        FROM media
        LEFT JOIN media_quarantined_blobs AS hidden ON hidden.sha256 = media.sha256
        WHERE media.user_id = :user_id AND media.media_id > :after
        ORDER BY media.media_id
        LIMIT :limit
        """,
        user_id=user_id,
        after=after,
        limit=limit,
    )
    return [_media(row) for row in rows]


async def usage_of(db: Reader, user_id: UserId, *, now_ms: int) -> Usage:
    """What *user_id* has taken up; what has expired does not count."""
    row = await db.first(
        """
        SELECT COUNT(*), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT),
            COUNT(expires_ts_ms)
        FROM media
        WHERE user_id = :user_id
            AND (expires_ts_ms IS NULL OR expires_ts_ms > :now_ms)
        """,
        user_id=user_id,
        now_ms=now_ms,
    )
    assert row is not None
    return Usage(*row)


async def pending_of(db: Reader, user_id: UserId, *, now_ms: int) -> int:
    """How many IDs *user_id* may still upload to."""
    row = await db.first(
        """
        SELECT COUNT(*) FROM media
        WHERE user_id = :user_id AND sha256 IS NULL AND expires_ts_ms > :now_ms
        """,
        user_id=user_id,
        now_ms=now_ms,
    )
    assert row is not None
    count: int = row[0]
    return count


def insert_media(unit: Unit, media: Media) -> Returned:
    """Add *media*: ``(media_id,)``, or no row if there is such a one already."""
    return unit.returning(
        """
        INSERT INTO media (server_name, media_id, user_id, sha256, size_bytes,
                           content_type, filename, created_ts_ms, accessed_ts_ms,
                           expires_ts_ms, is_public, is_protected)
        VALUES (:server_name, :media_id, :user_id, :sha256, :size_bytes,
                :content_type, :filename, :created_ts_ms, :accessed_ts_ms,
                :expires_ts_ms, :is_public, :is_protected)
        ON CONFLICT (server_name, media_id) DO NOTHING
        RETURNING media_id
        """,
        **_identity(media),
        user_id=media.user_id,
        created_ts_ms=media.created_ts_ms,
        accessed_ts_ms=media.accessed_ts_ms,
        expires_ts_ms=media.expires_ts_ms,
        is_public=int(media.is_public),
        is_protected=int(media.is_protected),
    )


def fill_media(unit: Unit, media: Media, *, now_ms: int) -> Returned:
    """Give a pending ID its content: ``(media_id,)``, or no row if it is not, or not
    any more, pending.
    """
    return unit.returning(
        """
        UPDATE media
        SET sha256 = :sha256, size_bytes = :size_bytes, content_type = :content_type,
            filename = :filename, created_ts_ms = :now_ms, accessed_ts_ms = :now_ms,
            expires_ts_ms = NULL
        WHERE server_name = :server_name AND media_id = :media_id
            AND sha256 IS NULL AND expires_ts_ms > :now_ms
        RETURNING media_id
        """,
        **_identity(media),
        now_ms=now_ms,
    )


def lock_uploads(unit: Unit, user_id: UserId, engine: Engine) -> None:
    """Have *unit* count what other processes are just storing of *user_id*."""
    # SQLite has one writer, who stores one unit after the other.
    if engine is Engine.POSTGRES:
        unit.run(
            "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))",
            name=f"media {user_id}",
        )


def insert_media_within(
    unit: Unit, media: Media, quota: Quota, *, now_ms: int
) -> Returned:
    """Do what `insert_media` does for an upload, unless it would be too much."""
    return unit.returning(
        """
        INSERT INTO media (server_name, media_id, user_id, sha256, size_bytes,
                           content_type, filename, created_ts_ms, accessed_ts_ms,
                           is_public, is_protected)
        SELECT :server_name, :media_id, :user_id, :sha256, :size_bytes,
            :content_type, :filename, CAST(:now_ms AS BIGINT), :now_ms, :is_public, 0
        FROM (
            SELECT COUNT(*) - COUNT(expires_ts_ms) AS files,
                CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS size_bytes
            FROM media
            WHERE user_id = :user_id
                AND (expires_ts_ms IS NULL OR expires_ts_ms > :now_ms)
        ) AS used
        WHERE used.files < :files_max
            AND used.size_bytes <= :bytes_max - CAST(:size_bytes AS BIGINT)
        RETURNING media_id
        """,
        **_identity(media),
        user_id=media.user_id,
        now_ms=now_ms,
        is_public=int(media.is_public),
        files_max=quota.files_max,
        bytes_max=quota.bytes_max,
    )


def fill_media_within(
    unit: Unit, media: Media, quota: Quota, *, now_ms: int
) -> Returned:
    """Do what `fill_media` does, unless it would be too much."""
    return unit.returning(
        """
        UPDATE media
        SET sha256 = :sha256, size_bytes = :size_bytes, content_type = :content_type,
            filename = :filename, created_ts_ms = :now_ms, accessed_ts_ms = :now_ms,
            expires_ts_ms = NULL
        FROM (
            SELECT COUNT(*) - COUNT(expires_ts_ms) AS files,
                CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS size_bytes
            FROM media
            WHERE user_id = :user_id
                AND (expires_ts_ms IS NULL OR expires_ts_ms > :now_ms)
        ) AS used
        WHERE server_name = :server_name AND media_id = :media_id
            AND sha256 IS NULL AND expires_ts_ms > :now_ms
            AND used.files < :files_max
            AND used.size_bytes <= :bytes_max - CAST(:size_bytes AS BIGINT)
        RETURNING media_id
        """,
        **_identity(media),
        user_id=media.user_id,
        now_ms=now_ms,
        files_max=quota.files_max,
        bytes_max=quota.bytes_max,
    )


async def find_media_id(db: Reader, user_id: UserId, unique_id: str) -> str | None:
    """The media ID that *user_id* has for what they call *unique_id*."""
    row = await db.first(
        """
        SELECT media_id FROM media_unique_ids
        WHERE user_id = :user_id AND unique_id = :unique_id
        """,
        user_id=user_id,
        unique_id=unique_id,
    )
    return row[0] if row else None


def upsert_unique_id(
    unit: Unit, user_id: UserId, unique_id: str, *, media_id: str
) -> None:
    """Note the media ID of what *user_id* calls *unique_id*."""
    unit.run(
        """
        INSERT INTO media_unique_ids (user_id, unique_id, media_id)
        VALUES (:user_id, :unique_id, :media_id)
        ON CONFLICT (user_id, unique_id) DO UPDATE SET media_id = excluded.media_id
        """,
        user_id=user_id,
        unique_id=unique_id,
        media_id=media_id,
    )


def touch_media(unit: Unit, mxc: Mxc, *, now_ms: int) -> None:
    """Note that somebody wanted it."""
    unit.run(
        """
        UPDATE media SET accessed_ts_ms = :now_ms
        WHERE server_name = :server_name AND media_id = :media_id
        """,
        server_name=mxc.server_name,
        media_id=mxc.media_id,
        now_ms=now_ms,
    )


def set_protected(unit: Unit, mxc: Mxc, *, is_protected: bool) -> None:
    """Protect it, or not any more."""
    unit.run(
        """
        UPDATE media SET is_protected = :is_protected
        WHERE server_name = :server_name AND media_id = :media_id
        """,
        server_name=mxc.server_name,
        media_id=mxc.media_id,
        is_protected=int(is_protected),
    )


def delete_media(unit: Unit, mxcs: Sequence[Mxc], *, now_ms: int) -> None:
    """Delete these, and have it looked at whether their bytes are still needed."""
    rows = [
        {
            "server_name": mxc.server_name,
            "media_id": mxc.media_id,
            # Later than whoever looks right now.
            "check_ts_ms": now_ms + 1,
        }
        for mxc in mxcs
    ]
    unit.run_many(
        """
        UPDATE media_blobs SET check_ts_ms = :check_ts_ms
        WHERE sha256 = (
            SELECT sha256 FROM media
            WHERE server_name = :server_name AND media_id = :media_id
        )
        """,
        rows,
    )
    unit.run_many(
        """
        DELETE FROM media WHERE server_name = :server_name AND media_id = :media_id
        """,
        [{name: row[name] for name in ("server_name", "media_id")} for row in rows],
    )
    unit.run_many(
        "DELETE FROM media_unique_ids WHERE media_id = :media_id",
        [{"media_id": mxc.media_id} for mxc in mxcs],
    )


async def expired(db: Reader, *, now_ms: int, limit: int) -> list[Mxc]:
    """IDs that nothing was uploaded to in time."""
    rows = await db.scan(
        """
        SELECT server_name, media_id FROM media
        WHERE sha256 IS NULL AND expires_ts_ms <= :now_ms
        ORDER BY expires_ts_ms
        LIMIT :limit
        """,
        now_ms=now_ms,
        limit=limit,
    )
    return [Mxc(*row) for row in rows]


async def unused_since(db: Reader, *, ts_ms: int, limit: int) -> list[tuple[Mxc, int]]:
    """What is kept for a while and was last wanted before *ts_ms*, with its size."""
    rows = await db.scan(
        """
        SELECT server_name, media_id, size_bytes FROM media
        WHERE user_id IS NULL AND accessed_ts_ms < :ts_ms AND is_protected = 0
        ORDER BY accessed_ts_ms
        LIMIT :limit
        """,
        ts_ms=ts_ms,
        limit=limit,
    )
    return [(Mxc(server_name, media_id), size) for server_name, media_id, size in rows]


async def uploads_unused_since(db: Reader, *, ts_ms: int, limit: int) -> list[Mxc]:
    """Uploads of users that were last wanted before *ts_ms*."""
    rows = await db.scan(
        """
        SELECT server_name, media_id FROM media
        WHERE user_id IS NOT NULL AND accessed_ts_ms < :ts_ms AND is_protected = 0
        ORDER BY accessed_ts_ms
        LIMIT :limit
        """,
        ts_ms=ts_ms,
        limit=limit,
    )
    return [Mxc(*row) for row in rows]


async def cached_bytes(db: Reader) -> int:
    """What all that is kept for a while weighs."""
    [(size_bytes,)] = await db.scan(
        """
        SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM media
        WHERE user_id IS NULL
        """
    )
    total: int = size_bytes
    return total


def _identity(media: Media) -> dict[str, object]:
    return {
        "server_name": media.mxc.server_name,
        "media_id": media.mxc.media_id,
        "sha256": media.sha256,
        "size_bytes": media.size_bytes,
        "content_type": media.content_type,
        "filename": media.filename,
    }


def _media(row: Row) -> Media:
    (
        server_name,
        media_id,
        user_id,
        sha256,
        size_bytes,
        content_type,
        filename,
        created_ts_ms,
        accessed_ts_ms,
        expires_ts_ms,
        is_public,
        is_protected,
        object_key,
        is_quarantined,
    ) = row
    return Media(
        mxc=Mxc(server_name, media_id),
        user_id=user_id,
        sha256=sha256,
        size_bytes=size_bytes,
        content_type=content_type,
        filename=filename,
        created_ts_ms=created_ts_ms,
        accessed_ts_ms=accessed_ts_ms,
        expires_ts_ms=expires_ts_ms,
        is_public=bool(is_public),
        is_protected=bool(is_protected),
        object_key=object_key,
        is_quarantined=bool(is_quarantined),
    )
