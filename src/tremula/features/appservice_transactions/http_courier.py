"""Delivers transactions over HTTP (AS sendTransaction)."""

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from tremula.features.appservice_transactions.courier import DeliveryFailed
from tremula.features.appservices.service import Appservice
from tremula.infra.outbound.endpoint import (
    HttpUrl,
    Limits,
    OutboundRequest,
    OutboundResponse,
)
from tremula.infra.outbound.errors import OutboundError
from tremula.infra.outbound.web import Web

_PATH: Final = "/_matrix/app/v1/transactions/"
_LEGACY_PATH: Final = "/transactions/"
# AS "Legacy routes": "an HTTP status code that does not indicate success (i.e.: 404,
# 500, 501, etc)"; those that say more of who asks are no reason to ask otherwise.
_HAS_NO_SUCH_ROUTE: Final = frozenset({404, 405, 500, 501})
# Bridges answer when they have passed everything on.
_LIMITS: Final = Limits(bytes_max=65_536, timeout_s=60, idle_s=60)


class HttpCourier(Struct, frozen=True):
    """Puts transactions to the URL of an application service. Implements `Courier`.

    An URL that an operator has given may be in a private network, unlike one that a
    user has asked for.
    """

    operators_web: Web
    users_web: Web

    def reaches(self, appservice: Appservice) -> bool:
        """See `Courier`."""
        return appservice.registration.url is not None

    async def deliver(self, appservice: Appservice, txn_id: str, body: bytes) -> None:
        """See `Courier`."""
        name = quote(txn_id, safe="")
        response = await self._put(appservice, _PATH + name, body)
        if response.status in _HAS_NO_SUCH_ROUTE:
            # AS "Authorisation": the query is for "legacy versions of the
            # specification".
            token = quote(appservice.registration.hs_token, safe="")
            path = f"{_LEGACY_PATH}{name}?access_token={token}"
            legacy = await self._put(appservice, path, body)
            if _is_taken(legacy):
                return
        if not _is_taken(response):
            raise DeliveryFailed(f"status {response.status}")

    async def _put(
        self, appservice: Appservice, path: str, body: bytes
    ) -> OutboundResponse:
        registration = appservice.registration
        assert registration.url is not None, "it is reached"
        web = self.users_web
        if registration.url_may_be_private:
            web = self.operators_web
        headers = {
            "Authorization": f"Bearer {registration.hs_token}",
            "Content-Type": "application/json",
        }
        try:
            url = HttpUrl.parse(registration.url.rstrip("/") + path)
            request = OutboundRequest("PUT", url.uri, headers, body)
            return await web.request(url.endpoint, request, _LIMITS)
        except OutboundError as error:
            raise DeliveryFailed(str(error)) from error


def _is_taken(response: OutboundResponse) -> bool:
    return 200 <= response.status < 300
