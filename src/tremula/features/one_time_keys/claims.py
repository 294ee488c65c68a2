"""Claims of keys for many users, of this server and of others."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from tremula.features.one_time_keys.service import ClaimedKeys, KeyClaim, OneTimeKeys
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import PeerError, PeerUnreachable, RemoteError
from tremula.infra.together import together
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import (
    DeviceId,
    ServerName,
    UserId,
    parse_user_id,
    server_of,
)

CLAIMS_MAX: Final = 10_000
"""So many devices may be asked for at once."""

_PATH: Final = "/_matrix/federation/v1/user/keys/claim"
_SERVERS_AT_ONCE: Final = 20
_TIMEOUT_MAX_S: Final = 30.0
# Of a key with its names, whatever they are.
_BYTES_A_CLAIM: Final = 8 * 1024


class ClaimAnswer(Struct, frozen=True):
    """The keys, and which servers could not be asked, `{server_name: error}`."""

    keys: ClaimedKeys
    failures: dict[ServerName, dict[str, Any]]


class KeyClaims(Struct, frozen=True):
    """Claims keys where they are: here, or at their users' servers."""

    own: ServerName
    keys: OneTimeKeys
    federation: FederationClient

    async def claim(
        self, claims: Sequence[KeyClaim], *, timeout_s: float
    ) -> ClaimAnswer:
        """A key for each of *claims*, as far as there are any.

        Other servers are asked all at once, until the time is up.
        """
        by_server: dict[ServerName, list[KeyClaim]] = {}
        for claim in claims:
            by_server.setdefault(server_of(claim.user_id), []).append(claim)
        here = by_server.pop(self.own, [])
        answer = ClaimAnswer(await self.keys.claim(here) if here else {}, {})
        if by_server:
            await self._claim_elsewhere(by_server, answer, timeout_s)
        return answer

    async def _claim_elsewhere(
        self,
        by_server: Mapping[ServerName, Sequence[KeyClaim]],
        answer: ClaimAnswer,
        timeout_s: float,
    ) -> None:
        slots = asyncio.Semaphore(_SERVERS_AT_ONCE)
        await together(
            {
                server: self._add_remote(server, part, answer, slots, timeout_s)
                for server, part in by_server.items()
            }
        )

    async def _add_remote(
        self,
        server: ServerName,
        claims: Sequence[KeyClaim],
        answer: ClaimAnswer,
        slots: asyncio.Semaphore,
        timeout_s: float,
    ) -> None:
        try:
            async with asyncio.timeout(min(timeout_s, _TIMEOUT_MAX_S)), slots:
                answer.keys.update(await self._ask(server, claims))
        except PeerError as error:
            answer.failures[server] = {"errcode": error.errcode, "error": error.message}
        except (RemoteError, TimeoutError):
            # Without what went wrong: it may name addresses of our network.
            answer.failures[server] = {
                "errcode": "M_UNKNOWN",
                "error": "the server did not answer",
            }

    async def _ask(self, server: ServerName, claims: Sequence[KeyClaim]) -> ClaimedKeys:
        wanted: dict[UserId, dict[DeviceId, str]] = {}
        for claim in claims:
            wanted.setdefault(claim.user_id, {})[claim.device_id] = claim.algorithm
        answer = await self.federation.post(
            server,
            _PATH,
            {"one_time_keys": wanted},
            timeout_s=_TIMEOUT_MAX_S,
            bytes_max=64 * 1024 + _BYTES_A_CLAIM * len(claims),
        )
        users = answer.get("one_time_keys") if isinstance(answer, dict) else None
        if not isinstance(users, dict):
            raise PeerUnreachable(f"{server}: the answer to a claim has no keys")
        keys: ClaimedKeys = {}
        for claim in claims:
            key = _key_for(claim, users)
            if key:
                keys.setdefault(claim.user_id, {})[claim.device_id] = key
        return keys


def parse_claims(raw: Mapping[str, Any]) -> list[KeyClaim]:
    """Read `{user_id: {device_id: algorithm}}`.

    Raises:
        BadJson: *raw* is something else, or asks for too much.
        InvalidParam: a user ID is none.
    """
    claims = []
    for raw_user_id, devices in raw.items():
        user_id = parse_user_id(raw_user_id)
        if not isinstance(devices, dict):
            raise BadJson("one_time_keys must be {user_id: {device_id: algorithm}}")
        for device_id, algorithm in devices.items():
            if not isinstance(algorithm, str) or "\0" in device_id + algorithm:
                raise BadJson("an algorithm must be a string")
            claims.append(KeyClaim(user_id, DeviceId(device_id), algorithm))
        if len(claims) > CLAIMS_MAX:
            raise BadJson(f"at most {CLAIMS_MAX} keys can be claimed at once")
    return claims


def _key_for(claim: KeyClaim, users: Mapping[str, Any]) -> dict[str, Any]:
    """The one key of an answer that was asked for; what else is there is left out."""
    devices = users.get(claim.user_id)
    keys = devices.get(claim.device_id) if isinstance(devices, dict) else None
    if not isinstance(keys, dict):
        return {}
    for name, key in keys.items():
        if name.partition(":")[0] == claim.algorithm and isinstance(key, str | dict):
            return {name: key}
    return {}
