"""Queries on ``filters`` (0004_account_data.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


async def find_definition(db: Reader, user_id: UserId, filter_id: str) -> bytes | None:
    """The JSON of a filter."""
    row = await db.first(
        """
        SELECT definition FROM filters
        WHERE user_id = :user_id AND filter_id = :filter_id
        """,
        user_id=user_id,
        filter_id=filter_id,
    )
    return row[0] if row else None


def upsert_filter(
    unit: Unit, user_id: UserId, filter_id: str, definition: bytes, *, ts_ms: int
) -> None:
    """Keep a filter; one that is there already counts as used again."""
    unit.run(
        """
        INSERT INTO filters (user_id, filter_id, definition, used_ts_ms)
        VALUES (:user_id, :filter_id, :definition, :ts_ms)
        ON CONFLICT (user_id, filter_id) DO UPDATE
        SET used_ts_ms = excluded.used_ts_ms
        """,
        user_id=user_id,
        filter_id=filter_id,
        definition=definition,
        ts_ms=ts_ms,
    )


def delete_filters(unit: Unit, user_id: UserId) -> None:
    """Drop all filters of a user."""
    unit.run("DELETE FROM filters WHERE user_id = :user_id", user_id=user_id)


def delete_oldest_filters(unit: Unit, user_id: UserId, *, keep: int) -> None:
    """Drop the filters that were defined longest ago, all but *keep*."""
    unit.run(
        """
        DELETE FROM filters
        WHERE user_id = :user_id AND filter_id NOT IN (
            SELECT filter_id FROM filters
            WHERE user_id = :user_id
            ORDER BY used_ts_ms DESC, filter_id
            LIMIT :keep
        )
        """,
        user_id=user_id,
        keep=keep,
    )
