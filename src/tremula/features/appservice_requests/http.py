"""Asks application services at their URL."""

from typing import Final

from msgspec import Struct

from tremula.features.appservice_requests.service import (
    ProxiedRequest,
    ProxiedResponse,
    Unanswered,
    UnansweredInTime,
)
from tremula.features.appservices.service import Appservice
from tremula.infra.outbound.appservices import AppserviceHttp
from tremula.infra.outbound.endpoint import Limits
from tremula.infra.outbound.errors import OutboundError, TimedOut

_ANSWER_BYTES_MAX: Final = 1024 * 1024


class HttpWay(Struct, frozen=True):
    """Implements `Way`."""

    http: AppserviceHttp

    def leads_to(self, appservice: Appservice) -> bool:
        """See `Way`."""
        return appservice.registration.url is not None

    async def request(
        self, appservice: Appservice, request: ProxiedRequest, *, timeout_s: float
    ) -> ProxiedResponse:
        """See `Way`."""
        limits = Limits(
            bytes_max=_ANSWER_BYTES_MAX, timeout_s=timeout_s, idle_s=timeout_s
        )
        uri = f"{request.path}?{request.query}" if request.query else request.path
        try:
            response = await self.http.request(
                appservice.registration,
                request.method,
                uri,
                limits,
                body=request.body or None,
            )
        except TimedOut as error:
            raise UnansweredInTime(str(error)) from error
        except OutboundError as error:
            raise Unanswered(str(error)) from error
        return ProxiedResponse(response.status, response.body)
