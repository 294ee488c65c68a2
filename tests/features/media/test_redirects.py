"""A server may say where its file is; that is followed like any URL of a stranger."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.fakes.federation import FakeTransport
from tremula.features.media.remote import Sources
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.infra.outbound.endpoint import (
    Endpoint,
    FollowedResponse,
    Limits,
    OutboundRequest,
    OutboundResponse,
    StreamedResponse,
)
from tremula.infra.outbound.errors import AddressRefused, RequestFailed
from tremula.protocol.identifiers import ServerName
from tremula.protocol.mxc import Mxc
from tremula.protocol.signing import SigningKey

OWN = ServerName("test")
FILE = Mxc(ServerName("far.test"), "file")


@dataclass(slots=True)
class FakePages:
    """Implements ``Web``: one answer to all."""

    status: int = 200
    refuses: bool = False
    asked: list[tuple[str, Limits, int]] = field(default_factory=list)

    async def request(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> OutboundResponse:
        raise NotImplementedError

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
        self.asked.append((url, limits, redirects_max))
        if self.refuses:
            raise AddressRefused("private")
        found = {
            "content-type": "image/png",
            "content-disposition": "inline; filename=a.png",
        }
        yield FollowedResponse(url, StreamedResponse(self.status, found, _body()))


async def _body() -> AsyncIterator[bytes]:
    yield b"pic"
    yield b"ture"


def sources(pages: FakePages) -> Sources:
    parts = (
        b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n"
        b"--b\r\nLocation: https://cdn.test/file?sig=x\r\n\r\n\r\n--b--\r\n"
    )
    peers = Peers.of(OWN, enabled=True, allowed=None, denied=())
    key = SigningKey.from_seed("ed25519:1", bytes(32))
    client = FederationClient(peers, key, FakeTransport(answer=parts))
    return Sources(client, pages, 1000, frozenset())


async def test_a_redirect_is_followed_within_bounds() -> None:
    pages = FakePages()

    async with sources(pages).content(FILE, 0) as content:
        body = b"".join([chunk async for chunk in content.chunks])

    assert body == b"picture"
    assert (content.content_type, content.filename) == ("image/png", "a.png")
    [(url, limits, redirects_max)] = pages.asked
    assert url == "https://cdn.test/file?sig=x"
    assert (limits.bytes_max, redirects_max) == (1000, 3)


async def test_a_redirect_to_an_error_is_one() -> None:
    with pytest.raises(RequestFailed):
        async with sources(FakePages(status=404)).content(FILE, 0):
            pytest.fail("there is nothing")


async def test_a_redirect_to_a_private_address_is_refused() -> None:
    with pytest.raises(AddressRefused):
        async with sources(FakePages(refuses=True)).content(FILE, 0):
            pytest.fail("it must not be asked")
