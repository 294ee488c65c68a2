"""Looks up protocols, places and people of other networks, by asking the application
services that bridge to them. Who gives no answer has none to add.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from tremula.features.appservice_queries.service import ask
from tremula.features.appservice_requests.service import AppserviceRequests
from tremula.features.appservices.service import Appservice, Appservices
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.together import together
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import RoomAlias, UserId
from tremula.protocol.third_party_networks import (
    merged,
    parse_locations,
    parse_protocol,
    parse_users,
)

Fields = Sequence[tuple[str, str]]
"""What a place or somebody is looked for by, as names and values."""

_Found = list[dict[str, Any]]

_TIMEOUT_S: Final = 10.0
# Of more that have the same protocol, or all protocols together, the first are asked.
_ASKED_MAX: Final = 50
_PROTOCOLS_MAX: Final = 200

# What is told of a protocol counts for a while; nothing being told, for a shorter one.
_LIFETIME_S: Final = 300.0
_LIFETIME_OF_NOTHING_S: Final = 15.0
_CACHE_BYTES: Final = 4 * 1024 * 1024


class ThirdPartyNetworks:
    """Asks application services on behalf of our users."""

    def __init__(
        self, appservices: Appservices, requests: AppserviceRequests, clock: Clock
    ) -> None:
        self._appservices = appservices
        self._requests = requests
        self._clock = clock
        self.cache: ByteLRU[tuple[str, str], tuple[float, dict[str, Any] | None]]
        self.cache = ByteLRU(_CACHE_BYTES)
        """What an application service, by its ID, tells of a protocol."""
        appservices.on_changed(lambda _: self.cache.clear())

    async def protocols(self) -> dict[str, Any]:
        """CS ``Protocol`` of each protocol that anything is told of, by name."""
        names = {
            name for each in self._appservices.all() for name in _protocols_of(each)
        }
        asked = sorted(names)[:_PROTOCOLS_MAX]
        found = await together({name: self._find_protocol(name) for name in asked})
        return {name: told for name, told in found.items() if told is not None}

    async def protocol(self, name: str) -> dict[str, Any]:
        """CS ``Protocol`` of one.

        Raises:
            NotFound: nobody has it, or tells anything of it.
        """
        found = await self._find_protocol(name)
        if found is None:
            raise NotFound(f"there is no protocol {name}")
        return found

    async def locations(self, protocol: str, fields: Fields) -> _Found:
        """The portal rooms of a place (CS queryLocationByProtocol).

        Raises:
            NotFound: there are none, or no such protocol.
        """
        path = f"location/{quote(protocol, safe='')}"
        return await self._look_up(
            self._of_protocol(protocol), path, fields, parse_locations
        )

    async def users(self, protocol: str, fields: Fields) -> _Found:
        """Who somebody of a network is here (CS queryUserByProtocol).

        Raises:
            NotFound: they are nobody, or there is no such protocol.
        """
        path = f"user/{quote(protocol, safe='')}"
        return await self._look_up(
            self._of_protocol(protocol), path, fields, parse_users
        )

    async def locations_of(self, alias: RoomAlias) -> _Found:
        """The places that an alias leads to (CS queryLocationByAlias).

        Raises:
            NotFound: there are none.
        """
        appservices = self._appservices.of_alias(alias)
        fields = [("alias", alias)]
        return await self._look_up(appservices, "location", fields, parse_locations)

    async def users_of(self, user_id: UserId) -> _Found:
        """Whom a user stands for in their network (CS queryUserByID).

        Raises:
            NotFound: for nobody.
        """
        appservices = self._appservices.of_user(user_id)
        return await self._look_up(
            appservices, "user", [("userid", user_id)], parse_users
        )

    def _of_protocol(self, name: str) -> list[Appservice]:
        return [each for each in self._appservices.all() if name in _protocols_of(each)]

    async def _find_protocol(self, name: str) -> dict[str, Any] | None:
        appservices = self._of_protocol(name)[:_ASKED_MAX]
        work = {each.id: self._told(each, name) for each in appservices}
        told = (await together(work)).values()
        found = [each for each in told if each is not None]
        return merged(found) if found else None

    async def _told(self, appservice: Appservice, name: str) -> dict[str, Any] | None:
        key, now_s = (appservice.id, name), self._clock.monotonic_s()
        known = self.cache.get(key)
        if known is not None and known[0] > now_s:
            return known[1]
        raw = await self._ask(appservice, f"protocol/{quote(name, safe='')}", ())
        told = parse_protocol(raw, appservice.id)
        lifetime_s = _LIFETIME_OF_NOTHING_S if told is None else _LIFETIME_S
        size_bytes = 400 if told is None else 400 + 4 * len(orjson.dumps(told))
        self.cache.put(key, (now_s + lifetime_s, told), size_bytes)
        return told

    async def _look_up(
        self,
        appservices: Iterable[Appservice],
        path: str,
        fields: Fields,
        parse: Callable[[object], _Found],
    ) -> _Found:
        asked = list(appservices)[:_ASKED_MAX]
        work = {each.id: self._ask(each, path, fields) for each in asked}
        answers = (await together(work)).values()
        found = [entry for answer in answers for entry in parse(answer)]
        if not found:
            raise NotFound("nothing was found")
        return found

    async def _ask(self, appservice: Appservice, path: str, fields: Fields) -> object:
        """The answer's JSON; None if there is none."""
        if not self._requests.can_be_made_to(appservice):
            return None
        body = await ask(
            self._requests,
            appservice,
            f"/_matrix/app/v1/thirdparty/{path}",
            legacy=f"/_matrix/app/unstable/thirdparty/{path}",
            query=urlencode(list(fields), quote_via=quote),
            timeout_s=_TIMEOUT_S,
        )
        try:
            answer: object = None if body is None else orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        return answer


def _protocols_of(appservice: Appservice) -> Sequence[str]:
    return appservice.registration.protocols
