"""Queries on ``server_keys_own`` (created in migrations/0007_server_keys.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.signing import SigningKey


async def find_own_key(db: Reader) -> SigningKey | None:
    """The key that this server signs with."""
    row = await db.first("SELECT key_id, seed FROM server_keys_own ORDER BY created_ts")
    return SigningKey.from_seed(row[0], row[1]) if row else None


def insert_own_key(unit: Unit, key: SigningKey, *, created_ts: int) -> None:
    """Store the first key; does nothing where there is one already."""
    unit.run(
        """
        INSERT INTO server_keys_own (singleton, key_id, seed, created_ts)
        VALUES (1, :key_id, :seed, :created_ts)
        ON CONFLICT (singleton) DO NOTHING
        """,
        key_id=key.key_id,
        seed=key.seed,
        created_ts=created_ts,
    )
