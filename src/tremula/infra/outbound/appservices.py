"""Requests to application services (AS "Homeserver -> Application Service API")."""

from msgspec import Struct

from tremula.infra.outbound.endpoint import (
    HttpUrl,
    Limits,
    OutboundRequest,
    OutboundResponse,
)
from tremula.infra.outbound.errors import BadUrl
from tremula.infra.outbound.web import Web
from tremula.protocol.appservices import Registration


class AppserviceHttp(Struct, frozen=True):
    """Makes requests to the URLs of application services.

    An URL that an operator has given may lead to this machine or a private network,
    by *anywhere*; one that a user has asked for is held to the policy of *web*.
    """

    anywhere: Web
    web: Web

    async def request(
        self,
        registration: Registration,
        method: str,
        uri: str,
        limits: Limits,
        *,
        body: bytes | None = None,
    ) -> OutboundResponse:
        """Make one request; *uri* is the path with the query, below the URL.

        Raises:
            OutboundError: there is no answer, or no URL.
        """
        if registration.url is None:
            raise BadUrl("the application service has no URL")
        url = HttpUrl.parse(registration.url.rstrip("/") + uri)
        headers = {"Authorization": f"Bearer {registration.hs_token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        web = self.anywhere if registration.url_may_be_private else self.web
        request = OutboundRequest(method, url.uri, headers, body)
        return await web.request(url.endpoint, request, limits)
