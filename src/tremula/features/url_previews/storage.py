"""Queries on ``url_previews`` (created in migrations/0039_url_previews.sql)."""

from tremula.infra.db import Reader, Unit


async def find_preview(db: Reader, url: str, *, now_ms: int) -> bytes | None:
    """The preview of *url*, if it is not too old."""
    row = await db.first(
        """
        SELECT preview FROM url_previews
        WHERE url = :url AND expires_ts_ms > :now_ms
        """,
        url=url,
        now_ms=now_ms,
    )
    return row[0] if row else None


def upsert_preview(unit: Unit, url: str, preview: bytes, *, expires_ts_ms: int) -> None:
    """Keep the preview of *url*."""
    unit.run(
        """
        INSERT INTO url_previews (url, preview, expires_ts_ms)
        VALUES (:url, :preview, :expires_ts_ms)
        ON CONFLICT (url) DO UPDATE
        SET preview = excluded.preview, expires_ts_ms = excluded.expires_ts_ms
        """,
        url=url,
        preview=preview,
        expires_ts_ms=expires_ts_ms,
    )


def delete_expired(unit: Unit, *, now_ms: int) -> None:
    """Forget what is too old."""
    unit.run("DELETE FROM url_previews WHERE expires_ts_ms <= :now_ms", now_ms=now_ms)
