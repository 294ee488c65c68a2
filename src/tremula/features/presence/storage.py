"""Queries on ``presence`` (0006_receipts.sql)."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class StoredPresence(Struct, frozen=True):
    """What outlives a restart; ``last_active_ts_ms`` counts from the Unix epoch."""

    status_msg: str | None
    last_active_ts_ms: int


async def stored_presence(
    db: Reader, user_ids: Sequence[UserId]
) -> dict[UserId, StoredPresence]:
    """What is stored of up to 500 users."""
    rows = await db.all(
        """
        SELECT user_id, status_msg, last_active_ts_ms
        FROM presence
        WHERE user_id IN :user_ids
        """,
        user_ids=list(user_ids),
    )
    return {
        UserId(user_id): StoredPresence(status_msg, ts_ms)
        for user_id, status_msg, ts_ms in rows
    }


def upsert_status(
    unit: Unit, user_id: UserId, status_msg: str | None, *, last_active_ts_ms: int
) -> None:
    """Store what a user says of themselves."""
    unit.run(
        """
        INSERT INTO presence (user_id, status_msg, last_active_ts_ms)
        VALUES (:user_id, :status_msg, :last_active_ts_ms)
        ON CONFLICT (user_id) DO UPDATE
        SET status_msg = excluded.status_msg,
            last_active_ts_ms = excluded.last_active_ts_ms
        """,
        user_id=user_id,
        status_msg=status_msg,
        last_active_ts_ms=last_active_ts_ms,
    )


def delete_presence(unit: Unit, user_id: UserId) -> None:
    """Remove what is stored of a user."""
    unit.run("DELETE FROM presence WHERE user_id = :user_id", user_id=user_id)


def upsert_last_active(unit: Unit, ts_ms_by_user: Mapping[UserId, int]) -> None:
    """Store when users were last active, now that they are gone."""
    unit.run_many(
        """
        INSERT INTO presence (user_id, status_msg, last_active_ts_ms)
        VALUES (:user_id, NULL, :last_active_ts_ms)
        ON CONFLICT (user_id) DO UPDATE
        SET last_active_ts_ms = excluded.last_active_ts_ms
        """,
        [
            {"user_id": user_id, "last_active_ts_ms": ts_ms}
            for user_id, ts_ms in ts_ms_by_user.items()
        ],
    )
