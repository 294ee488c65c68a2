"""Users and room aliases that application services have, and make when they are asked
for (AS "Querying").
"""

from typing import Final
from urllib.parse import quote

import orjson
import structlog

from tremula.features.appservice_requests.service import (
    AppserviceRequests,
    ProxiedResponse,
    Unanswered,
)
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.users.service import Users
from tremula.infra.locks import KeyedLocks
from tremula.protocol.identifiers import RoomAlias, UserId

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 15.0
# Of more that may have it the first are asked.
_ASKED_MAX: Final = 5


class AppserviceQueries:
    """Asks application services, who wait for them, whether they have somebody.

    Only those in whose namespaces it is, and only of what is not here.
    """

    def __init__(self, appservices: Appservices, users: Users) -> None:
        self._appservices = appservices
        self._users = users
        self._requests: AppserviceRequests | None = None
        self._asking: KeyedLocks[str] = KeyedLocks()

    def ask_by(self, requests: AppserviceRequests) -> None:
        """Ask by *requests* from now on."""
        self._requests = requests

    async def introduce(self, user_id: UserId) -> None:
        """Have a local user made whom an application service has (AS queryUserById).

        Nothing happens if there is none, or if the user is here.
        """
        if not self._appservices:
            return
        appservices = self._appservices.of_user(user_id)
        if not appservices:
            return
        async with self._asking.of(user_id):
            if await self._users.find(user_id) is None:
                await self._one_has(appservices, "users", user_id)

    async def is_active(self, user_id: UserId) -> bool:
        """Whether there is such a user, who is not deactivated, when all are asked."""
        await self.introduce(user_id)
        return await self._users.is_active(user_id)

    async def has_made(self, alias: RoomAlias) -> bool:
        """Whether an application service has just made *alias*, which was not there
        (AS queryRoomByAlias).
        """
        if not self._appservices:
            return False
        appservices = self._appservices.of_alias(alias)
        if not appservices:
            return False
        async with self._asking.of(alias):
            return await self._one_has(appservices, "rooms", alias)

    async def _one_has(
        self, appservices: tuple[Appservice, ...], kind: str, wanted: str
    ) -> bool:
        if self._requests is None:
            return False
        path = f"/{kind}/{quote(wanted, safe='')}"
        for appservice in appservices[:_ASKED_MAX]:
            if not self._requests.can_be_made_to(appservice):
                continue
            found = await ask(
                self._requests,
                appservice,
                f"/_matrix/app/v1{path}",
                legacy=path,
                timeout_s=_TIMEOUT_S,
            )
            if found is not None:
                return True
        return False


async def ask(
    requests: AppserviceRequests,
    appservice: Appservice,
    path: str,
    *,
    legacy: str,
    query: str = "",
    timeout_s: float,
) -> bytes | None:
    """What *appservice* answers, None if it has nothing or gives no answer.

    AS "Legacy routes": whoever does not know *path* is asked by *legacy*.
    """
    for each in (path, legacy):
        try:
            response = await requests.make(
                appservice, "GET", each, query=query, timeout_s=timeout_s
            )
        except Unanswered as error:
            log.info("appservice_unanswered", appservice=appservice.id, reason=error)
            return None
        if 200 <= response.status < 300:
            return response.body
        if _is_an_answer(response):
            return None
    return None


def _is_an_answer(response: ProxiedResponse) -> bool:
    """Whether a refusal comes from somebody who knows the route."""
    try:
        said = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return False
    errcode = said.get("errcode") if isinstance(said, dict) else None
    return isinstance(errcode, str) and errcode != "M_UNRECOGNIZED"
