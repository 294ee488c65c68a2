"""Asking servers, and notaries, for keys; what comes back is checked here."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.federation.errors import RemoteError
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import (
    VALIDITY_MS_MAX,
    KeyNeed,
    ServerKeys,
    parse_server_keys,
)
from tremula.protocol.signing import BadSignature, VerifyKeys, verify_json

log = structlog.get_logger(__name__)

_PATH: Final = "/_matrix/key/v2/server"
_QUERY_PATH: Final = "/_matrix/key/v2/query"
_TIMEOUT_S: Final = 10.0
# A notary asks those of whom it does not know, and waits for them.
_QUERY_TIMEOUT_S: Final = 20.0
_BYTES_MAX: Final = 65_536
_LISTS_PER_SERVER_MAX: Final = 4

Needs = Mapping[ServerName, Collection[KeyNeed]]
"""Which keys are needed, by their servers."""


class KeyServers(Protocol):
    """As much of the `FederationClient` as fetching keys takes."""

    async def get(
        self,
        destination: ServerName,
        path: str,
        *,
        timeout_s: float,
        bytes_max: int,
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        """The answer of *destination*, parsed."""
        ...

    async def post(
        self,
        destination: ServerName,
        path: str,
        body: object,
        *,
        timeout_s: float,
        bytes_max: int,
    ) -> Any:  # noqa: ANN401
        """The answer of *destination* to *body*, parsed."""
        ...


class FetchedKeys(Struct, frozen=True):
    """The keys of a server, and the list that it signed, as canonical JSON."""

    keys: ServerKeys
    json: bytes


class KeyFetcher(Struct, frozen=True):
    """Fetches lists of keys. A failure is logged and is an empty answer."""

    servers: KeyServers
    clock: Clock

    async def ask(self, server_name: ServerName) -> FetchedKeys | None:
        """The keys of *server_name*, by itself (SS ``getServerKey``)."""
        try:
            raw = await self.servers.get(
                server_name, _PATH, timeout_s=_TIMEOUT_S, bytes_max=_BYTES_MAX
            )
            return self._check(raw, server_name)
        except (RemoteError, BadJson, BadSignature) as error:
            log.info("keys_not_fetched", asked=server_name, reason=str(error))
            return None

    async def ask_notary(
        self, notary: ServerName, notary_keys: VerifyKeys, needs: Needs
    ) -> list[FetchedKeys] | None:
        """What *notary* has of servers' keys (SS ``bulkPerspectivesKeyQuery``).

        None if it does not answer. A list that is not as it must be is left out.
        """
        criteria = {name: self._criteria(each) for name, each in needs.items()}
        try:
            answer = await self.servers.post(
                notary,
                _QUERY_PATH,
                {"server_keys": criteria},
                timeout_s=_QUERY_TIMEOUT_S,
                bytes_max=_BYTES_MAX * (_LISTS_PER_SERVER_MAX + len(needs) // 4),
            )
            lists = _lists(answer)[: len(needs) * _LISTS_PER_SERVER_MAX]
        except (RemoteError, BadJson) as error:
            log.info("notary_not_helpful", asked=notary, reason=str(error))
            return None
        return await asyncio.to_thread(
            self._vouched, lists, needs.keys(), notary, notary_keys
        )

    def _vouched(
        self,
        lists: Sequence[object],
        wanted: Collection[ServerName],
        notary: ServerName,
        notary_keys: VerifyKeys,
    ) -> list[FetchedKeys]:
        found: list[FetchedKeys] = []
        for raw in lists:
            try:
                server_name = _server_of(raw, wanted)
                fetched = self._check(raw, server_name)
                assert isinstance(raw, dict)
                verify_json(raw, notary, notary_keys)
            except (BadJson, BadSignature) as error:
                log.info("vouched_keys_refused", asked=notary, reason=str(error))
            else:
                found.append(fetched)
        return found

    def _criteria(self, needs: Collection[KeyNeed]) -> Mapping[str, object]:
        """RV5: "servers MUST set the ``minimum_valid_until_ts`` property"."""
        # No key counts for longer, whatever the time that an event gives itself.
        most = self.clock.now_ms() + VALIDITY_MS_MAX
        least: dict[str, int] = {}
        for need in needs:
            wanted = min(need.valid_at_ms, most) if need.strict else 0
            least[need.key_id] = max(wanted, least.get(need.key_id, 0))
        return {
            key_id: {"minimum_valid_until_ts": timestamp}
            for key_id, timestamp in least.items()
        }

    def _check(self, raw: object, server_name: ServerName) -> FetchedKeys:
        if not isinstance(raw, dict):
            raise BadJson("the keys must be an object")
        keys = parse_server_keys(raw, server_name, now_ms=self.clock.now_ms())
        return FetchedKeys(keys, encode_canonical(raw))


def _lists(answer: object) -> list[object]:
    lists = answer.get("server_keys") if isinstance(answer, dict) else None
    if not isinstance(lists, list):
        raise BadJson("server_keys must be an array")
    return lists


def _server_of(raw: object, wanted: Collection[ServerName]) -> ServerName:
    server_name = raw.get("server_name") if isinstance(raw, dict) else None
    if not isinstance(server_name, str) or server_name not in wanted:
        raise BadJson("a list that nobody asked for")
    return ServerName(server_name)
