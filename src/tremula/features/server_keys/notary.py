"""Vouching for others' keys (SS "Querying Keys Through Another Server")."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import orjson
from msgspec import Struct, field

from tremula.features.server_keys import storage
from tremula.features.server_keys.key_ring import KeyRing
from tremula.features.server_keys.service import OwnKeys
from tremula.features.server_keys.storage import PublishedList
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.together import together
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import sign_json

# For anybody who asks: the key ring's own fetches do not wait for these.
_FETCHES_AT_ONCE: Final = 16
# Those of many servers that answer must not wait for those that do not.
_PATIENCE_S: Final = 15.0

# {key ID: minimum_valid_until_ts, None for the current time}
Criteria = Mapping[str, int | None]


class Notary(Struct, frozen=True):
    """Answers with the lists of other servers, signed by this one as well."""

    db: Reader
    own: OwnKeys
    key_ring: KeyRing
    clock: Clock
    fetches: asyncio.Semaphore = field(
        default_factory=partial(asyncio.Semaphore, _FETCHES_AT_ONCE)
    )

    async def lists(
        self,
        queries: Mapping[ServerName, Criteria],
        *,
        minimum_valid_until_ts: int | None = None,
    ) -> list[dict[str, Any]]:
        """The lists of the servers that have been heard from at all.

        *minimum_valid_until_ts* is for servers of which no key ID is asked for.
        """
        found = await together(
            {
                server_name: self._list(server_name, criteria, minimum_valid_until_ts)
                for server_name, criteria in queries.items()
            }
        )
        return [each for each in found.values() if each is not None]

    async def _list(
        self, server_name: ServerName, criteria: Criteria, minimum_ts: int | None
    ) -> dict[str, Any] | None:
        if server_name == self.own.server_name:
            return self.own.publish()
        stored = await storage.find_published(self.db, server_name)
        if stored is None or self._is_to_be_renewed(stored, criteria, minimum_ts):
            await self._renew(server_name)
            # "Notary servers can return keys for servers that are offline".
            stored = await storage.find_published(self.db, server_name)
        if stored is None:
            return None
        published: dict[str, Any] = orjson.loads(stored.json)
        return sign_json(published, self.own.server_name, self.own.current)

    async def _renew(self, server_name: ServerName) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S), self.fetches:
                await self.key_ring.refetch(server_name)

    def _is_to_be_renewed(
        self, stored: PublishedList, criteria: Criteria, minimum_ts: int | None
    ) -> bool:
        now_ms = self.clock.now_ms()
        # "notary servers should cache a response for half of its lifetime"
        if now_ms - stored.fetched_ts > (stored.valid_until_ts - stored.fetched_ts) / 2:
            return True
        wanted = [minimum_ts, *criteria.values()]
        least = max(now_ms if each is None else each for each in wanted)
        if least > stored.valid_until_ts:
            return True
        published = orjson.loads(stored.json)
        listed = {
            *published["verify_keys"],
            *published.get("old_verify_keys", {}),
        }
        return not criteria.keys() <= listed
