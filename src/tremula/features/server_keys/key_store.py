"""The keys of other servers that are known: in memory, or else in the database."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from tremula.features.server_keys import storage
from tremula.features.server_keys.fetching import FetchedKeys
from tremula.features.server_keys.storage import PublishedList
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import VerifyKey, is_insecure

log = structlog.get_logger(__name__)

Keys = Mapping[str, VerifyKey]
"""The keys of one server by their IDs."""

_MEMORY_BYTES: Final = 4 * 1024 * 1024
_BYTES_A_KEY: Final = 250
_SERVERS_PER_QUERY: Final = 500
# More than any server needs; a hostile one could make up new ones all day.
_KEYS_PER_SERVER_MAX: Final = 1000


class KeyStore:
    """Keeps what was fetched, and has the secure ones of it ready."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.cache: ByteLRU[ServerName, Keys] = ByteLRU(_MEMORY_BYTES)

    async def of(self, server_names: Iterable[ServerName]) -> dict[ServerName, Keys]:
        """The keys of servers; those of whom none is known are left out.

        One query for 500 servers that are not in memory.
        """
        known: dict[ServerName, Keys] = {}
        absent: list[ServerName] = []
        for server_name in server_names:
            keys = self.cache.get(server_name)
            if keys is None:
                absent.append(server_name)
            else:
                known[server_name] = keys
        for start in range(0, len(absent), _SERVERS_PER_QUERY):
            loaded = await storage.verify_keys_of(
                self._database, absent[start : start + _SERVERS_PER_QUERY]
            )
            for server_name, keys in loaded.items():
                known[server_name] = self._remember(server_name, keys)
        return known

    async def keep_newest(self, fetched: FetchedKeys) -> None:
        """Store what a server itself has just said of its keys."""
        await self._keep([(fetched, True)])

    async def keep_vouched(self, lists: Sequence[FetchedKeys]) -> None:
        """Store what notaries say: an older list only adds what it alone names."""
        if not lists:
            return
        names = list({each.keys.server_name for each in lists})
        until: dict[ServerName, int] = {}
        for start in range(0, len(names), _SERVERS_PER_QUERY):
            until |= await storage.published_until(
                self._database, names[start : start + _SERVERS_PER_QUERY]
            )
        ranked: list[tuple[FetchedKeys, bool]] = []
        for fetched in lists:
            server_name, valid_until_ts = (
                fetched.keys.server_name,
                fetched.keys.valid_until_ts,
            )
            is_newest = until.get(server_name, valid_until_ts) <= valid_until_ts
            if is_newest:
                until[server_name] = valid_until_ts
            ranked.append((fetched, is_newest))
        await self._keep(ranked)

    async def _keep(self, lists: Sequence[tuple[FetchedKeys, bool]]) -> None:
        known = await self.of({fetched.keys.server_name for fetched, _ in lists})
        unit = Statements()
        for fetched, is_newest in lists:
            keys, server_name = fetched.keys, fetched.keys.server_name
            before = known.get(server_name, {})
            merged = (
                {**before, **keys.verify_keys}
                if is_newest
                else {**keys.verify_keys, **before}
            )
            if len(merged) > _KEYS_PER_SERVER_MAX:
                log.warning("too_many_keys", server_name=server_name, keys=len(merged))
                continue
            known[server_name] = merged
            storage.upsert_verify_keys(unit, server_name, merged)
            if is_newest:
                storage.upsert_published(unit, self._published(fetched))
        await self._database.commit(unit)
        for server_name, stored in known.items():
            self._remember(server_name, stored)

    def _published(self, fetched: FetchedKeys) -> PublishedList:
        keys, now_ms = fetched.keys, self._clock.now_ms()
        return PublishedList(
            keys.server_name, fetched.json, keys.valid_until_ts, now_ms
        )

    def _remember(self, server_name: ServerName, keys: Keys) -> Keys:
        # Keys that were stored before they were known to be insecure.
        secure = {
            key_id: key
            for key_id, key in keys.items()
            if not is_insecure(key.public_key)
        }
        self.cache.put(server_name, secure, _BYTES_A_KEY * (len(secure) + 1))
        return secure
