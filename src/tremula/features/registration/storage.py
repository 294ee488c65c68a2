"""Queries on ``registration_tokens`` (created in migrations/0003_accounts.sql), and on
``registration_nonces`` (0025_one_decision.sql).
"""

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Unit


class RegistrationToken(Struct, frozen=True):
    """A row of ``registration_tokens``; None: any number of uses, no expiry."""

    token: str
    uses_allowed: int | None
    uses: int
    expires_ts_ms: int | None
    created_ts_ms: int

    def is_valid(self, now_ms: int) -> bool:
        """Whether one more account may be made with the token."""
        if self.uses_allowed is not None and self.uses >= self.uses_allowed:
            return False
        return self.expires_ts_ms is None or now_ms < self.expires_ts_ms


def insert_token(unit: Unit, token: RegistrationToken) -> None:
    """Add a token. One that exists fails the unit with ``Conflict``."""
    unit.run(
        """
        INSERT INTO registration_tokens (token, uses_allowed, uses, expires_ts_ms,
                                         created_ts_ms)
        VALUES (:token, :uses_allowed, :uses, :expires_ts_ms, :created_ts_ms)
        """,
        token=token.token,
        uses_allowed=token.uses_allowed,
        uses=token.uses,
        expires_ts_ms=token.expires_ts_ms,
        created_ts_ms=token.created_ts_ms,
    )


def update_used(unit: Unit, token: str, *, now_ms: int) -> None:
    """Count one use. Once too often fails the unit with ``Conflict``, and so does one
    of a token that is gone by then, or has expired: a column is NOT NULL (see
    ``infra.rereading``).
    """
    unit.run(
        "UPDATE registration_tokens SET uses = uses + 1 WHERE token = :token",
        token=token,
    )
    unit.run(
        """
        INSERT INTO registration_tokens (token, uses, created_ts_ms)
        SELECT :token, 0, CAST(NULL AS BIGINT) WHERE NOT EXISTS (
            SELECT 1 FROM registration_tokens
            WHERE token = :token
                AND (expires_ts_ms IS NULL OR expires_ts_ms > :now_ms)
        )
        """,
        token=token,
        now_ms=now_ms,
    )


def delete_token(unit: Unit, token: str) -> None:
    """Remove a token; the accounts made with it stay."""
    unit.run("DELETE FROM registration_tokens WHERE token = :token", token=token)


async def find_token(db: Reader, token: str) -> RegistrationToken | None:
    """The token, valid or not."""
    row = await db.first(
        """
        SELECT token, uses_allowed, uses, expires_ts_ms, created_ts_ms
        FROM registration_tokens WHERE token = :token
        """,
        token=token,
    )
    return RegistrationToken(*row) if row else None


async def all_tokens(db: Reader) -> list[RegistrationToken]:
    """The newest 500 tokens, valid or not."""
    rows = await db.all(
        """
        SELECT token, uses_allowed, uses, expires_ts_ms, created_ts_ms
        FROM registration_tokens ORDER BY created_ts_ms DESC, token LIMIT 500
        """
    )
    return [RegistrationToken(*row) for row in rows]


def insert_nonce(unit: Unit, nonce_hash: bytes, *, expires_ts_ms: int) -> None:
    """Add a nonce."""
    unit.run(
        """
        INSERT INTO registration_nonces (nonce_hash, expires_ts_ms)
        VALUES (:nonce_hash, :expires_ts_ms)
        """,
        nonce_hash=nonce_hash,
        expires_ts_ms=expires_ts_ms,
    )


def delete_expired_nonces(unit: Unit, now_ms: int, *, kept_max: int) -> None:
    """Remove nonces that have expired, and the oldest ones if there are too many."""
    unit.run(
        """
        DELETE FROM registration_nonces
        WHERE expires_ts_ms <= :now_ms OR nonce_hash IN (
            SELECT n.nonce_hash FROM registration_nonces n
            ORDER BY n.expires_ts_ms DESC LIMIT 1000000 OFFSET :kept_max
        )
        """,
        now_ms=now_ms,
        kept_max=kept_max,
    )


def take_nonce(unit: Unit, nonce_hash: bytes) -> Returned:
    """Remove a nonce: ``(expires_ts_ms,)``. Of two requests only one gets the row."""
    return unit.returning(
        """
        DELETE FROM registration_nonces WHERE nonce_hash = :nonce_hash
        RETURNING expires_ts_ms
        """,
        nonce_hash=nonce_hash,
    )
