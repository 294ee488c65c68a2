"""The keys of all servers: those that are known, or still to be fetched."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from tremula.features.server_keys.asking_notaries import Notaries
from tremula.features.server_keys.attempts import Attempts
from tremula.features.server_keys.fetching import KeyFetcher, Needs
from tremula.features.server_keys.key_store import Keys, KeyStore
from tremula.features.server_keys.service import OwnKeys
from tremula.infra.clock import Clock
from tremula.infra.db import Database
from tremula.infra.locks import KeyedLocks
from tremula.infra.together import together
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import KeyNeed, KnownKeys
from tremula.protocol.signing import VerifyKeys

_FETCHES_AT_ONCE: Final = 64


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
        self._own = own
        self._fetcher = fetcher
        self._clock = clock
        self.store = KeyStore(database, clock)
        self._attempts = Attempts(clock)
        self._notaries = Notaries(
            [name for name in notaries if name != own.server_name],
            self._ask_notary,
            self._unmet,
            clock,
        )
        self._asking: KeyedLocks[ServerName] = KeyedLocks()
        self._fetches = asyncio.Semaphore(_FETCHES_AT_ONCE)

    async def verify_keys(self, needs: Collection[KeyNeed]) -> KnownKeys:
        """The keys that meet *needs*; a key that could not be had is left out.

        A key may be wanted for several times and be valid for some of them only:
        whoever has several needs of a key asks each of them whether it ``is_met_by``
        the key.
        """
        by_server: dict[ServerName, list[KeyNeed]] = {}
        for need in needs:
            by_server.setdefault(need.server_name, []).append(need)
        unmet = dict(await self._unmet(by_server))
        unmet.pop(self._own.server_name, None)
        if unmet:
            await self._fetch(unmet)
        known = await self._known(by_server)
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

    async def _fetch(self, needs: Needs) -> None:
        """Try to get what meets *needs*, unless that was tried just now.

        Of more servers than are asked at once many may be gone, each of which would
        take its time: then the notaries come first, who answer for all of them.
        """
        if len(needs) > _FETCHES_AT_ONCE:
            await self._notaries.ask(needs)
            needs = await self._unmet(needs)
        await together({name: self._ask_itself(name) for name in needs})
        await self._notaries.ask(await self._unmet(needs))

    async def _ask_itself(self, server_name: ServerName) -> None:
        async with self._asking.of(server_name):
            if self._attempts.may_ask(server_name):
                async with self._fetches:
                    await self._ask(server_name)

    async def _ask(self, server_name: ServerName) -> None:
        fetched = await self._fetcher.ask(server_name)
        if fetched is None:
            self._attempts.failed(server_name)
            return
        # Whoever may not ask finds it stored.
        await self.store.keep_newest(fetched)
        self._attempts.answered(server_name)

    async def _ask_notary(self, notary: ServerName, needs: Needs) -> bool:
        """Ask *notary*; whether it answers."""
        notary_keys = await self._present_keys(notary)
        if not notary_keys:
            await self.refetch(notary)
            notary_keys = await self._present_keys(notary)
        if not notary_keys:
            return False
        lists = await self._fetcher.ask_notary(notary, notary_keys, needs)
        if lists is None:
            return False
        await self.store.keep_vouched(lists)
        return True

    async def _present_keys(self, server_name: ServerName) -> VerifyKeys:
        """The keys of a server that are valid now."""
        known = (await self._known([server_name])).get(server_name, {})
        now_ms = self._clock.now_ms()
        return {
            key_id: key.public_key
            for key_id, key in known.items()
            if now_ms <= key.valid_until_ts
        }

    async def _unmet(self, needs: Needs) -> Needs:
        """Those of *needs* that no known key meets."""
        known = await self._known(needs)
        unmet: dict[ServerName, Collection[KeyNeed]] = {}
        for name, each in needs.items():
            missing = [need for need in each if not _is_met(need, known.get(name, {}))]
            if missing:
                unmet[name] = missing
        return unmet

    async def _known(
        self, server_names: Iterable[ServerName]
    ) -> Mapping[ServerName, Keys]:
        own = self._own.server_name
        known = await self.store.of(name for name in server_names if name != own)
        return {**known, own: self._own.verify_keys()}


def _is_met(need: KeyNeed, keys: Keys) -> bool:
    return need.is_met_by(keys.get(need.key_id))
