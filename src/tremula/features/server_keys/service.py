"""The keys of this server: signing, publishing, changing them."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.server_keys import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import (
    VALIDITY_MS_MAX,
    OldKey,
    VerifyKey,
    publish_server_keys,
)
from tremula.protocol.signing import SigningKey, generate

# "Originating servers should avoid returning responses that expire in less than an
# hour". A day is how long a stolen key can be used after it was replaced.
_PUBLISHED_FOR_MS: Final = 24 * 60 * 60 * 1000


class OwnKeys(Struct, frozen=True):
    """The key that this server signs with, and those that it has signed with."""

    server_name: ServerName
    current: SigningKey
    old: tuple[OldKey, ...]
    database: Database
    clock: Clock

    def publish(self) -> dict[str, Any]:
        """The signed list of them (SS ``getServerKey``)."""
        return publish_server_keys(
            self.server_name,
            self.current,
            self.old,
            valid_until_ts=self.clock.now_ms() + _PUBLISHED_FOR_MS,
        )

    def verify_keys(self) -> Mapping[str, VerifyKey]:
        """The same as other servers know them, by their IDs."""
        until = self.clock.now_ms() + VALIDITY_MS_MAX
        return {
            **{
                old.key_id: VerifyKey(old.public_key, old.expired_ts)
                for old in self.old
            },
            self.current.key_id: VerifyKey(self.current.public_key, until),
        }

    async def rotate(self) -> SigningKey:
        """Make a key that takes the place of the current one at the next start.

        Not at once: what is running signs with the old one, and what is signed after
        that has expired is refused elsewhere.
        """
        key = generate(secrets.token_bytes(32))
        unit = Statements()
        storage.upsert_next_key(unit, key, created_ts=self.clock.now_ms())
        await self.database.commit(unit)
        return key


async def open_own_keys(
    database: Database, clock: Clock, server_name: ServerName
) -> OwnKeys:
    """The server's keys. The first is made when the server first starts.

    They lie in the database, so that all processes of a cluster have the same ones and
    a backup holds them.
    """
    current = await storage.find_own_key(database)
    if current is None:
        current = await _make_first_key(database, clock)
    elif await storage.find_next_key(database):
        current = await _change_key(database, clock, current)
    old = tuple(await storage.old_keys(database))
    return OwnKeys(server_name, current, old, database, clock)


async def _make_first_key(database: Database, clock: Clock) -> SigningKey:
    unit = Statements()
    storage.insert_own_key(
        unit, generate(secrets.token_bytes(32)), created_ts=clock.now_ms()
    )
    await database.commit(unit)
    # Two processes may have started at once: the first one's key counts.
    return await _stored_key(database)


async def _change_key(
    database: Database, clock: Clock, current: SigningKey
) -> SigningKey:
    unit = Statements()
    old = OldKey(current.key_id, current.public_key, expired_ts=clock.now_ms())
    storage.replace_own_key(unit, old)
    await database.commit(unit)
    return await _stored_key(database)


async def _stored_key(database: Database) -> SigningKey:
    key = await storage.find_own_key(database)
    assert key is not None, "just stored"
    return key
