"""Delivers transactions over HTTP (AS sendTransaction)."""

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from tremula.features.appservice_transactions.courier import DeliveryFailed
from tremula.features.appservices.service import Appservice
from tremula.infra.outbound.appservices import AppserviceHttp
from tremula.infra.outbound.endpoint import Limits
from tremula.infra.outbound.errors import OutboundError

_PATH: Final = "/_matrix/app/v1/transactions/"
_LEGACY_PATH: Final = "/transactions/"
# AS "Legacy routes": "an HTTP status code that does not indicate success (i.e.: 404,
# 500, 501, etc)"; those that say more of who asks are no reason to ask otherwise.
_HAS_NO_SUCH_ROUTE: Final = frozenset({404, 405, 500, 501})
# Bridges answer when they have passed everything on.
_LIMITS: Final = Limits(bytes_max=65_536, timeout_s=60, idle_s=60)


class HttpCourier(Struct, frozen=True):
    """Puts transactions to the URL of an application service. Implements `Courier`."""

    http: AppserviceHttp

    def reaches(self, appservice: Appservice) -> bool:
        """See `Courier`."""
        return appservice.registration.url is not None

    async def deliver(self, appservice: Appservice, txn_id: str, body: bytes) -> None:
        """See `Courier`."""
        name = quote(txn_id, safe="")
        status = await self._put(appservice, _PATH + name, body)
        if status in _HAS_NO_SUCH_ROUTE:
            # AS "Authorisation": the query is for "legacy versions of the
            # specification".
            token = quote(appservice.registration.hs_token, safe="")
            uri = f"{_LEGACY_PATH}{name}?access_token={token}"
            if _is_success(await self._put(appservice, uri, body)):
                return
        if not _is_success(status):
            raise DeliveryFailed(f"status {status}")

    async def _put(self, appservice: Appservice, uri: str, body: bytes) -> int:
        registration = appservice.registration
        try:
            response = await self.http.request(
                registration, "PUT", uri, _LIMITS, body=body
            )
        except OutboundError as error:
            raise DeliveryFailed(str(error)) from error
        return response.status


def _is_success(status: int) -> bool:
    return 200 <= status < 300
