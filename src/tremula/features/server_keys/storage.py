"""Queries on ``server_keys_…`` (created in migrations/0007_server_keys.sql and
0012_server_keys_of_others.sql).
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import OldKey, VerifyKey
from tremula.protocol.signing import SigningKey

_CURRENT = 1
_NEXT = 2


class PublishedList(Struct, frozen=True):
    """What a server said of its keys, as canonical JSON, and when it was fetched."""

    server_name: ServerName
    json: bytes
    valid_until_ts: int
    fetched_ts: int


async def find_own_key(db: Reader) -> SigningKey | None:
    """The key that this server signs with."""
    return await _find_own_key(db, _CURRENT)


async def find_next_key(db: Reader) -> SigningKey | None:
    """The key that this server is to sign with from its next start on."""
    return await _find_own_key(db, _NEXT)


async def _find_own_key(db: Reader, singleton: int) -> SigningKey | None:
    row = await db.first(
        "SELECT key_id, seed FROM server_keys_own WHERE singleton = :singleton",
        singleton=singleton,
    )
    return SigningKey.from_seed(row[0], row[1]) if row else None


async def old_keys(db: Reader) -> list[OldKey]:
    """The keys that this server has signed with, the newest first."""
    rows = await db.all(
        """
        SELECT key_id, public_key, expired_ts FROM server_keys_old
        ORDER BY expired_ts DESC, key_id
        """
    )
    return [OldKey(*row) for row in rows]


def insert_own_key(unit: Unit, key: SigningKey, *, created_ts: int) -> None:
    """Store the first key; does nothing where there is one already."""
    unit.run(
        """
        INSERT INTO server_keys_own (singleton, key_id, seed, created_ts)
        VALUES (:singleton, :key_id, :seed, :created_ts)
        ON CONFLICT (singleton) DO NOTHING
        """,
        singleton=_CURRENT,
        key_id=key.key_id,
        seed=key.seed,
        created_ts=created_ts,
    )


def upsert_next_key(unit: Unit, key: SigningKey, *, created_ts: int) -> None:
    """Store the key that takes over with the next start."""
    unit.run(
        """
        INSERT INTO server_keys_own (singleton, key_id, seed, created_ts)
        VALUES (:singleton, :key_id, :seed, :created_ts)
        ON CONFLICT (singleton) DO UPDATE
        SET key_id = excluded.key_id,
            seed = excluded.seed,
            created_ts = excluded.created_ts
        """,
        singleton=_NEXT,
        key_id=key.key_id,
        seed=key.seed,
        created_ts=created_ts,
    )


def replace_own_key(unit: Unit, old: OldKey) -> None:
    """Let the next key take the place of *old*, whose private half is forgotten.

    Another process may have done so already: then nothing changes.
    """
    unit.run(
        """
        INSERT INTO server_keys_old (key_id, public_key, expired_ts)
        VALUES (:key_id, :public_key, :expired_ts)
        ON CONFLICT (key_id) DO NOTHING
        """,
        key_id=old.key_id,
        public_key=old.public_key,
        expired_ts=old.expired_ts,
    )
    unit.run(
        """
        DELETE FROM server_keys_own
        WHERE singleton = :singleton AND key_id = :key_id
        """,
        singleton=_CURRENT,
        key_id=old.key_id,
    )
    unit.run(
        "UPDATE server_keys_own SET singleton = :current WHERE singleton = :next",
        current=_CURRENT,
        next=_NEXT,
    )


async def verify_keys_of(
    db: Reader, server_names: Sequence[ServerName]
) -> dict[ServerName, dict[str, VerifyKey]]:
    """Every known key of up to 500 servers; servers without one are left out."""
    rows = await db.all(
        """
        SELECT server_name, key_id, public_key, valid_until_ts
        FROM server_keys_verify WHERE server_name IN :server_names
        """,
        server_names=server_names,
    )
    keys: dict[ServerName, dict[str, VerifyKey]] = {}
    for server_name, key_id, public_key, valid_until_ts in rows:
        key = VerifyKey(public_key, valid_until_ts)
        keys.setdefault(ServerName(server_name), {})[key_id] = key
    return keys


def upsert_verify_keys(
    unit: Unit, server_name: ServerName, keys: Mapping[str, VerifyKey]
) -> None:
    """Store what is known of a server's keys."""
    unit.run_many(
        """
        INSERT INTO server_keys_verify (server_name, key_id, public_key,
                                        valid_until_ts)
        VALUES (:server_name, :key_id, :public_key, :valid_until_ts)
        ON CONFLICT (server_name, key_id) DO UPDATE
        SET public_key = excluded.public_key,
            valid_until_ts = excluded.valid_until_ts
        """,
        [
            {
                "server_name": server_name,
                "key_id": key_id,
                "public_key": key.public_key,
                "valid_until_ts": key.valid_until_ts,
            }
            for key_id, key in keys.items()
        ],
    )


async def find_published(db: Reader, server_name: ServerName) -> PublishedList | None:
    """The newest list of a server's keys."""
    row = await db.first(
        """
        SELECT list, valid_until_ts, fetched_ts FROM server_keys_published
        WHERE server_name = :server_name
        """,
        server_name=server_name,
    )
    return PublishedList(server_name, *row) if row else None


async def published_until(
    db: Reader, server_names: Sequence[ServerName]
) -> dict[ServerName, int]:
    """Until when the newest lists of up to 500 servers are valid."""
    rows = await db.all(
        """
        SELECT server_name, valid_until_ts FROM server_keys_published
        WHERE server_name IN :server_names
        """,
        server_names=server_names,
    )
    return {ServerName(server_name): until_ts for server_name, until_ts in rows}


def upsert_published(unit: Unit, published: PublishedList) -> None:
    """Store a server's newest list."""
    unit.run(
        """
        INSERT INTO server_keys_published (server_name, list, valid_until_ts,
                                           fetched_ts)
        VALUES (:server_name, :list, :valid_until_ts, :fetched_ts)
        ON CONFLICT (server_name) DO UPDATE
        SET list = excluded.list,
            valid_until_ts = excluded.valid_until_ts,
            fetched_ts = excluded.fetched_ts
        """,
        server_name=published.server_name,
        list=published.json,
        valid_until_ts=published.valid_until_ts,
        fetched_ts=published.fetched_ts,
    )
