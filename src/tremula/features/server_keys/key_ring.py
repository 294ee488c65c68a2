"""The keys of all servers: in memory, in the database, or still to be fetched."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import structlog

from tremula.features.server_keys import storage
from tremula.features.server_keys.attempts import Attempts
from tremula.features.server_keys.fetching import FetchedKeys, KeyFetcher
from tremula.features.server_keys.service import OwnKeys
from tremula.features.server_keys.storage import PublishedList
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.infra.locks import KeyedLocks
from tremula.infra.together import together
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import KeyNeed, KnownKeys, VerifyKey, is_insecure
from tremula.protocol.signing import VerifyKeys

log = structlog.get_logger(__name__)

_Keys = Mapping[str, VerifyKey]

_MEMORY_BYTES: Final = 4 * 1024 * 1024
_BYTES_A_KEY: Final = 250
_SERVERS_PER_QUERY: Final = 500
_FETCHES_AT_ONCE: Final = 32
# More than any server needs; a hostile one could make up new ones all day.
_KEYS_PER_SERVER_MAX: Final = 1000


class KeyRing:
    """Has the keys that signatures name, and fetches those it does not have.

    A server is asked once for all who need its keys at the same time, and no sooner
    again than `Attempts` permits. Where it does not help, the *notaries* are asked.
    """

    def __init__(
        self,
        database: Database,
        own: OwnKeys,
        fetcher: KeyFetcher,
        clock: Clock,
        notaries: tuple[ServerName, ...] = (),
    ) -> None:
        self._database = database
        self._own = own
        self._fetcher = fetcher
        self._clock = clock
        self._notaries = notaries
        self._attempts = Attempts(clock)
        self._memory: ByteLRU[ServerName, _Keys] = ByteLRU(_MEMORY_BYTES)
        # Two locks a server: who holds the first may ask a notary, that is take the
        # second one of another server.
        self._refreshing: KeyedLocks[ServerName] = KeyedLocks()
        self._asking: KeyedLocks[ServerName] = KeyedLocks()
        self._fetches = asyncio.Semaphore(_FETCHES_AT_ONCE)

    async def verify_keys(self, needs: Collection[KeyNeed]) -> KnownKeys:
        """The keys that meet *needs*; a key that could not be had is left out.

        A key may be wanted for several times and be valid for some of them only:
        whoever has several needs of a key asks each of them whether it ``is_met_by``
        the key.
        """
        known = await self._known({need.server_name for need in needs})
        unmet: dict[ServerName, list[KeyNeed]] = {}
        for need in needs:
            if not _is_met(need, known.get(need.server_name, {})):
                unmet.setdefault(need.server_name, []).append(need)
        unmet.pop(self._own.server_name, None)
        known |= await together(
            {name: self._refresh(name, each) for name, each in unmet.items()}
        )
        return {
            (need.server_name, need.key_id): known[need.server_name][need.key_id]
            for need in needs
            if _is_met(need, known.get(need.server_name, {}))
        }

    async def refetch(self, server_name: ServerName) -> None:
        """Ask a server itself for its list of keys, unless that was just done."""
        async with self._asking.of(server_name):
            if self._attempts.may_ask(server_name):
                await self._ask(server_name)

    async def _refresh(
        self, server_name: ServerName, needs: Collection[KeyNeed]
    ) -> _Keys:
        """The keys of a server after having tried to get those in *needs*."""
        async with self._refreshing.of(server_name), self._fetches:
            known = await self._known_of(server_name)
            if _are_met(needs, known) or not self._attempts.may_ask(server_name):
                return known
            await self.refetch(server_name)
            for notary in self._notaries:
                known = await self._known_of(server_name)
                if _are_met(needs, known):
                    return known
                if notary not in {server_name, self._own.server_name}:
                    await self._ask_notary(notary, needs)
            return await self._known_of(server_name)

    async def _ask(self, server_name: ServerName) -> None:
        fetched = await self._fetcher.ask(server_name)
        if fetched is None:
            self._attempts.failed(server_name)
            return
        self._attempts.answered(server_name)
        await self._keep(fetched, is_newest=True)

    async def _ask_notary(self, notary: ServerName, needs: Collection[KeyNeed]) -> None:
        notary_keys = await self._present_keys(notary)
        if not notary_keys:
            await self.refetch(notary)
            notary_keys = await self._present_keys(notary)
        for fetched in await self._fetcher.ask_notary(notary, notary_keys, needs):
            published = await storage.find_published(
                self._database, fetched.keys.server_name
            )
            await self._keep(
                fetched,
                is_newest=published is None
                or published.valid_until_ts <= fetched.keys.valid_until_ts,
            )

    async def _present_keys(self, server_name: ServerName) -> VerifyKeys:
        """The keys of a server that are valid now."""
        known = await self._known_of(server_name)
        now_ms = self._clock.now_ms()
        return {
            key_id: key.public_key
            for key_id, key in known.items()
            if now_ms <= key.valid_until_ts
        }

    async def _keep(self, fetched: FetchedKeys, *, is_newest: bool) -> None:
        """Store what was fetched; an older list only adds what it alone names."""
        keys, server_name = fetched.keys, fetched.keys.server_name
        known = await self._known_of(server_name)
        merged = (
            {**known, **keys.verify_keys}
            if is_newest
            else {**keys.verify_keys, **known}
        )
        if len(merged) > _KEYS_PER_SERVER_MAX:
            log.warning("too_many_keys", server_name=server_name, keys=len(merged))
            return
        unit = Statements()
        storage.upsert_verify_keys(unit, server_name, merged)
        if is_newest:
            published = PublishedList(
                server_name, fetched.json, keys.valid_until_ts, self._clock.now_ms()
            )
            storage.upsert_published(unit, published)
        await self._database.commit(unit)
        self._remember(server_name, merged)

    async def _known_of(self, server_name: ServerName) -> _Keys:
        return (await self._known({server_name})).get(server_name, {})

    async def _known(
        self, server_names: Iterable[ServerName]
    ) -> dict[ServerName, _Keys]:
        known: dict[ServerName, _Keys] = {}
        absent: list[ServerName] = []
        for server_name in server_names:
            keys = self._memory.get(server_name)
            if server_name == self._own.server_name:
                known[server_name] = self._own.verify_keys()
            elif keys is None:
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

    def _remember(self, server_name: ServerName, keys: _Keys) -> _Keys:
        # Keys that were stored before they were known to be insecure.
        secure = {
            key_id: key
            for key_id, key in keys.items()
            if not is_insecure(key.public_key)
        }
        self._memory.put(server_name, secure, _BYTES_A_KEY * (len(secure) + 1))
        return secure


def _is_met(need: KeyNeed, keys: _Keys) -> bool:
    return need.is_met_by(keys.get(need.key_id))


def _are_met(needs: Iterable[KeyNeed], keys: _Keys) -> bool:
    return all(_is_met(need, keys) for need in needs)
