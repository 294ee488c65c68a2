"""Asks application services: over HTTP, or by the websocket that they have opened."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from tremula.features.appservices.service import Appservice
from tremula.protocol.appservice_websocket import ProxiedRequest, ProxiedResponse

__all__ = [
    "AppserviceRequests",
    "ProxiedRequest",
    "ProxiedResponse",
    "Unanswered",
    "UnansweredInTime",
    "Way",
]


class Unanswered(Exception):
    """An application service gave no answer; the message says why, without secrets."""


class UnansweredInTime(Unanswered):
    """Its answer did not come in time."""


class Way(Protocol):
    """One way to application services."""

    def leads_to(self, appservice: Appservice) -> bool:
        """Whether *appservice* can be asked by it."""
        ...

    async def request(
        self, appservice: Appservice, request: ProxiedRequest, *, timeout_s: float
    ) -> ProxiedResponse:
        """Ask; *request* proves that it is from this server.

        Raises:
            Unanswered: there is no answer.
        """
        ...


class AppserviceRequests(Struct, frozen=True):
    """Asks by the first of *ways* that leads there: HTTP, then websockets.

    COMPAT(heisenbridge, 1.15): whoever has a URL is asked there even while it has a
    websocket, since there it takes nothing but transactions.
    """

    ways: Sequence[Way]

    def can_be_made_to(self, appservice: Appservice) -> bool:
        """Whether there is any way to *appservice* now."""
        return any(way.leads_to(appservice) for way in self.ways)

    async def make(
        self,
        appservice: Appservice,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        query: str = "",
        timeout_s: float = 30,
    ) -> ProxiedResponse:
        """Ask *appservice*; *path* is percent-encoded, *body* is JSON.

        Raises:
            Unanswered: there is no way to it, or no answer.
        """
        headers = {"Authorization": f"Bearer {appservice.registration.hs_token}"}
        if body:
            headers["Content-Type"] = "application/json"
        request = ProxiedRequest(method, path, query, headers, body)
        for way in self.ways:
            if way.leads_to(appservice):
                return await way.request(appservice, request, timeout_s=timeout_s)
        raise Unanswered("it is not connected")
