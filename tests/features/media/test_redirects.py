"""A server may say where its file is; that is followed like any URL of a stranger."""

from typing import Final

import pytest

from tests.fakes.federation import FakeTransport
from tests.fakes.pages import FakePages, WebPage
from tremula.features.media.remote import Sources
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.infra.outbound.errors import (
    AnswerTooLarge,
    BadRedirect,
    ConnectFailed,
    OutboundError,
    RequestFailed,
)
from tremula.protocol.identifiers import ServerName
from tremula.protocol.mxc import Mxc
from tremula.protocol.signing import SigningKey

OWN: Final = ServerName("test")
FILE: Final = Mxc(ServerName("far.test"), "file")
LOCATION: Final = "https://cdn.test/file?sig=x"


def sources(*pages: tuple[str, WebPage]) -> Sources:
    """Those of a server that is told to look at `LOCATION`."""
    parts = (
        b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n"
        b"--b\r\nLocation: %s\r\n\r\n\r\n--b--\r\n" % LOCATION.encode()
    )
    peers = Peers.of(OWN, enabled=True, allowed=None, denied=())
    key = SigningKey.from_seed("ed25519:1", bytes(32))
    client = FederationClient(peers, key, FakeTransport(answer=parts))
    return Sources(client, FakePages(dict(pages)), 1000, frozenset())


async def read(found: Sources) -> tuple[str, bytes]:
    async with found.content(FILE, 0) as content:
        chunks = [chunk async for chunk in content.chunks]
        return content.content_type, b"".join(chunks)


async def test_a_redirect_is_followed() -> None:
    elsewhere = "https://other.test/"
    found = sources(
        (LOCATION, WebPage(location=elsewhere)),
        (elsewhere, WebPage(b"picture", "image/png")),
    )

    assert await read(found) == ("image/png", b"picture")


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (WebPage(b"no", status=404), RequestFailed),
        (WebPage(b"x" * 1001), AnswerTooLarge),
        (WebPage(location=LOCATION), BadRedirect),
        (WebPage(location="https://nowhere.test/"), ConnectFailed),
    ],
)
async def test_a_redirect_that_leads_nowhere_is_a_failure(
    page: WebPage, error: type[OutboundError]
) -> None:
    with pytest.raises(error):
        await read(sources((LOCATION, page)))
