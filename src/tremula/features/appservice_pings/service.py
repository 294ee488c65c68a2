"""Pings application services that ask for it (AS "Pinging")."""

from typing import Final

import orjson
from msgspec import Struct

from tremula.features.appservice_requests.service import (
    AppserviceRequests,
    Unanswered,
    UnansweredInTime,
)
from tremula.features.appservice_transactions.service import Deliveries
from tremula.features.appservices.service import Appservices
from tremula.infra.clock import Clock
from tremula.protocol.errors import (
    BadStatus,
    ConnectionFailed,
    ConnectionTimeout,
    UrlNotSet,
)

_PATH: Final = "/_matrix/app/v1/ping"
_TIMEOUT_S: Final = 30.0
_SHOWN_CHARS_MAX: Final = 4096


class AppservicePings(Struct, frozen=True):
    """Pings. Whoever answers is sent what waits, without another pause."""

    appservices: Appservices
    requests: AppserviceRequests
    deliveries: Deliveries
    clock: Clock

    async def ping(self, appservice_id: str, txn_id: str | None) -> int:
        """Ping an application service; how many milliseconds its answer took.

        Raises:
            NotFound: there is none of this ID.
            UrlNotSet: there is no way to it.
            BadStatus: it answered otherwise than with 2xx.
            ConnectionFailed, ConnectionTimeout: it did not answer.
        """
        appservice = self.appservices.get(appservice_id)
        if not self.requests.can_be_made_to(appservice):
            raise UrlNotSet("the application service has no URL")
        body = {} if txn_id is None else {"transaction_id": txn_id}
        started_s = self.clock.monotonic_s()
        try:
            answer = await self.requests.make(
                appservice, "POST", _PATH, body=orjson.dumps(body), timeout_s=_TIMEOUT_S
            )
        except UnansweredInTime:
            raise ConnectionTimeout("the application service did not answer") from None
        except Unanswered:
            # Without the reason: it may name addresses of our network.
            raise ConnectionFailed("the application service is not reached") from None
        if not 200 <= answer.status < 300:
            raise BadStatus(
                "the application service refused the ping",
                answered=answer.status,
                body=answer.body.decode("utf-8", "replace")[:_SHOWN_CHARS_MAX],
            )
        self.deliveries.is_back(appservice_id)
        return int((self.clock.monotonic_s() - started_s) * 1000)
