"""A web of pages that the test wrote, in which redirects are followed."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tremula.infra.outbound.endpoint import (
    Endpoint,
    FollowedResponse,
    Limits,
    OutboundRequest,
    OutboundResponse,
    StreamedResponse,
)
from tremula.infra.outbound.errors import AnswerTooLarge, BadRedirect, ConnectFailed

_PIECE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class WebPage:
    """What a URL answers; ``location`` is a redirect."""

    body: bytes = b""
    content_type: str = "text/html"
    status: int = 200
    location: str | None = None


@dataclass(slots=True)
class FakePages:
    """Implements ``Web``. What has no page can't be connected to."""

    pages: dict[str, WebPage] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def request(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> OutboundResponse:
        raise ConnectFailed("refused")

    @asynccontextmanager
    async def follow(
        self,
        url: str,
        limits: Limits,
        *,
        redirects_max: int = 0,
        headers: Mapping[str, str] | None = None,
        permits: Callable[[str], bool] = lambda _: True,
    ) -> AsyncIterator[FollowedResponse]:
        for _ in range(redirects_max + 1):
            if not permits(url):
                raise BadRedirect("not permitted")
            self.asked.append(url)
            page = self.pages.get(url)
            if page is None:
                raise ConnectFailed("refused")
            if page.location is None:
                found = {"content-type": page.content_type}
                chunks = _in_pieces(page.body, limits.bytes_max)
                yield FollowedResponse(
                    url, StreamedResponse(page.status, found, chunks)
                )
                return
            url = page.location
        raise BadRedirect("too many")


async def _in_pieces(body: bytes, bytes_max: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        if start + _PIECE_BYTES > bytes_max:
            raise AnswerTooLarge("too large")
        yield body[start : start + _PIECE_BYTES]
