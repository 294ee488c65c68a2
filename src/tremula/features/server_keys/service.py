"""The key that this server signs events with."""

import secrets

from tremula.features.server_keys import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.signing import SigningKey, generate


async def open_signing_key(database: Database, clock: Clock) -> SigningKey:
    """The server's signing key, made when the server first starts.

    It lies in the database, so that all processes of a cluster have the same one and
    a backup holds it.
    """
    key = await storage.find_own_key(database)
    if key is not None:
        return key
    unit = Statements()
    storage.insert_own_key(
        unit, generate(secrets.token_bytes(32)), created_ts=clock.now_ms()
    )
    await database.commit(unit)
    # Two processes may have started at once: the first one's key counts.
    key = await storage.find_own_key(database)
    assert key is not None, "just stored"
    return key
