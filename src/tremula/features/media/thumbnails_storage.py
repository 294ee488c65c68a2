"""Queries on ``media_thumbnails`` (created in migrations/0038_media.sql)."""

from msgspec import Struct

from tremula.infra.db import Reader, Unit


class Known(Struct, frozen=True):
    """What is known of a thumbnail; the last three only if it was made, and the type
    if there is one.
    """

    outcome: str
    content_type: str
    size_bytes: int
    sha256: str | None
    object_key: str | None


async def find_thumbnail(db: Reader, source_sha256: str, name: str) -> Known | None:
    """The thumbnail *name* of an image."""
    row = await db.first(
        """
        SELECT thumbnails.outcome, thumbnails.content_type, thumbnails.size_bytes,
            thumbnails.sha256, blobs.object_key
        FROM media_thumbnails AS thumbnails
        LEFT JOIN media_blobs AS blobs
            ON blobs.sha256 = thumbnails.sha256 AND blobs.is_stored = 1
        WHERE thumbnails.source_sha256 = :source_sha256 AND thumbnails.name = :name
        """,
        source_sha256=source_sha256,
        name=name,
    )
    return Known(*row) if row else None


async def count_thumbnails(db: Reader, source_sha256: str) -> int:
    """How many thumbnails of an image are known."""
    row = await db.first(
        "SELECT COUNT(*) FROM media_thumbnails WHERE source_sha256 = :source_sha256",
        source_sha256=source_sha256,
    )
    assert row is not None
    count: int = row[0]
    return count


def upsert_thumbnail(unit: Unit, source_sha256: str, name: str, known: Known) -> None:
    """Note what became of a thumbnail, if its image is still here."""
    unit.run(
        """
        INSERT INTO media_thumbnails (source_sha256, name, outcome, sha256, size_bytes,
                                      content_type)
        SELECT CAST(:source_sha256 AS TEXT), CAST(:name AS TEXT),
            CAST(:outcome AS TEXT), CAST(:sha256 AS TEXT),
            CAST(:size_bytes AS BIGINT), CAST(:content_type AS TEXT)
        WHERE EXISTS (SELECT 1 FROM media_blobs WHERE sha256 = :source_sha256)
        ON CONFLICT (source_sha256, name) DO UPDATE
        SET outcome = excluded.outcome, sha256 = excluded.sha256,
            size_bytes = excluded.size_bytes, content_type = excluded.content_type
        """,
        source_sha256=source_sha256,
        name=name,
        outcome=known.outcome,
        sha256=known.sha256,
        size_bytes=known.size_bytes,
        content_type=known.content_type,
    )
