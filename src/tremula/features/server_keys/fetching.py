"""Asking servers, and notaries, for keys; what comes back is checked here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

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
_BYTES_MAX: Final = 65_536
# A notary adds to each list no more than its signature.
_QUERY_BYTES_MAX: Final = 4 * _BYTES_MAX


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


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """The keys of a server, and the list that it signed, as canonical JSON."""

    keys: ServerKeys
    json: bytes


@dataclass(frozen=True, slots=True)
class KeyFetcher:
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
            _log_failure(server_name, server_name, error)
            return None

    async def ask_notary(
        self, notary: ServerName, notary_keys: VerifyKeys, needs: Collection[KeyNeed]
    ) -> list[FetchedKeys]:
        """What *notary* has of one server's keys (SS ``bulkPerspectivesKeyQuery``).

        *needs* are of one server, and not empty.
        """
        server_name = next(iter(needs)).server_name
        try:
            answer = await self.servers.post(
                notary,
                _QUERY_PATH,
                {"server_keys": {server_name: self._criteria(needs)}},
                timeout_s=_TIMEOUT_S,
                bytes_max=_QUERY_BYTES_MAX,
            )
            return [
                self._check_notarised(raw, server_name, notary, notary_keys)
                for raw in _lists(answer)
            ]
        except (RemoteError, BadJson, BadSignature) as error:
            _log_failure(server_name, notary, error)
            return []

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

    def _check_notarised(
        self,
        raw: object,
        server_name: ServerName,
        notary: ServerName,
        notary_keys: VerifyKeys,
    ) -> FetchedKeys:
        fetched = self._check(raw, server_name)
        assert isinstance(raw, dict)
        verify_json(raw, notary, notary_keys)
        return fetched

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


def _log_failure(server_name: ServerName, asked: ServerName, error: Exception) -> None:
    log.info(
        "keys_not_fetched", server_name=server_name, asked=asked, reason=str(error)
    )
