"""Queries on ``login_tokens`` (created in migrations/0003_accounts.sql)."""

from tremula.infra.db import Returned, Unit
from tremula.protocol.identifiers import DeviceId, UserId


def insert_token(
    unit: Unit,
    token_hash: bytes,
    user_id: UserId,
    device_id: DeviceId,
    *,
    expires_ts_ms: int,
) -> None:
    """Add a token."""
    unit.run(
        """
        INSERT INTO login_tokens (token_hash, user_id, device_id, expires_ts_ms)
        VALUES (:token_hash, :user_id, :device_id, :expires_ts_ms)
        """,
        token_hash=token_hash,
        user_id=user_id,
        device_id=device_id,
        expires_ts_ms=expires_ts_ms,
    )


def take_token(unit: Unit, token_hash: bytes) -> Returned:
    """Remove a token. Of two requests at once only one gets its row."""
    return unit.returning(
        """
        DELETE FROM login_tokens WHERE token_hash = :token_hash
        RETURNING user_id, device_id, expires_ts_ms
        """,
        token_hash=token_hash,
    )


def delete_expired_tokens(unit: Unit, now_ms: int) -> None:
    """Remove what is no longer valid."""
    unit.run("DELETE FROM login_tokens WHERE expires_ts_ms <= :now_ms", now_ms=now_ms)
