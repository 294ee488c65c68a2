"""Profiles of the users of other servers."""

from collections.abc import Mapping
from typing import Final

from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.relaying import relaying
from tremula.protocol.identifiers import UserId, server_of
from tremula.protocol.profiles import parse_profile

Profile = Mapping[str, bytes]
"""The fields as JSON, by their names."""

_TIMEOUT_S: Final = 10.0
# A profile of 64 KiB in which JSON escapes every character.
_BYTES_MAX: Final = 6 * 65_536

_LIFETIME_S: Final = 60.0
_CACHE_BYTES: Final = 1024 * 1024
_ENTRY_BYTES: Final = 400


class RemoteProfiles:
    """Asks other servers for profiles; what they answer counts for a minute.

    "Requesting servers MAY wish to cache the response".
    """

    def __init__(self, client: FederationClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.cache: ByteLRU[UserId, tuple[float, Profile]] = ByteLRU(_CACHE_BYTES)

    async def fields(self, user_id: UserId) -> Profile:
        """The profile of a user of another server.

        Raises:
            NotFound: that server knows no such user.
            Forbidden: it keeps profiles to itself, or this one does not speak with it.
            Unknown: (502) it does not answer.
        """
        known = self.cache.get(user_id)
        if known is not None and known[0] > self._clock.monotonic_s():
            return known[1]
        with relaying():
            fields = await self._ask(user_id)
        size_bytes = _ENTRY_BYTES + sum(map(len, fields.values()))
        expires_s = self._clock.monotonic_s() + _LIFETIME_S
        self.cache.put(user_id, (expires_s, fields), size_bytes)
        return fields

    async def _ask(self, user_id: UserId) -> Profile:
        answer = await self._client.get(
            server_of(user_id),
            "/_matrix/federation/v1/query/profile",
            {"user_id": user_id},
            timeout_s=_TIMEOUT_S,
            bytes_max=_BYTES_MAX,
        )
        if not isinstance(answer, dict):
            raise PeerUnreachable(f"the profile of {user_id} is no object")
        return parse_profile(answer)
