"""Queries on ``openid_tokens`` (created in migrations/0015_openid.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


def insert_token(
    unit: Unit, token_hash: bytes, user_id: UserId, *, expires_ts_ms: int
) -> None:
    """Store a new token."""
    unit.run(
        """
        INSERT INTO openid_tokens (token_hash, user_id, expires_ts_ms)
        VALUES (:token_hash, :user_id, :expires_ts_ms)
        """,
        token_hash=token_hash,
        user_id=user_id,
        expires_ts_ms=expires_ts_ms,
    )


def delete_expired_tokens(unit: Unit, now_ms: int) -> None:
    """Forget what is worth nothing any more (openid_tokens_by_expiry)."""
    unit.run("DELETE FROM openid_tokens WHERE expires_ts_ms <= :now_ms", now_ms=now_ms)


async def find_owner(db: Reader, token_hash: bytes, *, now_ms: int) -> UserId | None:
    """Whose token this is, if it has not expired."""
    row = await db.first(
        """
        SELECT user_id FROM openid_tokens
        WHERE token_hash = :token_hash AND expires_ts_ms > :now_ms
        """,
        token_hash=token_hash,
        now_ms=now_ms,
    )
    return UserId(row[0]) if row else None
