"""`FederationClient`: what is signed and sent, and what is made of answers."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import orjson
import pytest

from tests.fakes.federation import FakeTransport
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import (
    FederationDenied,
    PeerError,
    PeerUnreachable,
)
from tremula.infra.federation.peers import Peers
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import generate
from tremula.protocol.x_matrix import (
    SignedRequest,
    parse_authorization,
    verify_request,
)

OWN = ServerName("own.test")
THEM = ServerName("them.test")
KEY = generate(b"k" * 32)
PATH = "/_matrix/federation/v1/x/%21room%3Aa"


def client(transport: FakeTransport, peers: Peers | None = None) -> FederationClient:
    return FederationClient(peers or Peers(OWN), KEY, transport)


def sent_and_verified(transport: FakeTransport) -> SignedRequest:
    """The only request that was sent, whose signature must be right."""
    [sent] = transport.sent
    authorization = parse_authorization(sent.headers["Authorization"])
    request = SignedRequest(
        method=sent.method,
        uri=sent.uri,
        origin=authorization.origin,
        destination=sent.destination,
        content=None if sent.body is None else orjson.loads(sent.body),
    )
    assert authorization.destination == THEM
    assert authorization.key_id == KEY.key_id
    verify_request(request, authorization, KEY.public_key)
    return request


async def test_a_get_is_signed_with_its_query_and_without_content() -> None:
    transport = FakeTransport(answer=b'{"a":[1]}')

    answer = await client(transport).get(THEM, PATH, {"v": ["1", "ü&"], "limit": "5"})

    assert answer == {"a": [1]}
    request = sent_and_verified(transport)
    assert request.uri == f"{PATH}?v=1&v=%C3%BC%26&limit=5"
    assert (request.method, request.content, request.origin) == ("GET", None, OWN)
    assert "Content-Type" not in transport.sent[0].headers


@pytest.mark.parametrize("body", [{"b": 1, "a": {"é": None}}, {}, {"n": 2**60}])
async def test_a_put_and_a_post_are_signed_with_their_body(body: object) -> None:
    for method in ("PUT", "POST"):
        transport = FakeTransport()
        ask = client(transport)
        await (ask.put if method == "PUT" else ask.post)(THEM, PATH, body)

        request = sent_and_verified(transport)
        assert (request.method, request.uri, request.content) == (method, PATH, body)
        assert transport.sent[0].headers["Content-Type"] == "application/json"


DENIED = [
    Peers.of(OWN, enabled=False, allowed=None, denied=()),
    Peers.of(OWN, enabled=True, allowed=(), denied=()),
    Peers.of(OWN, enabled=True, allowed=(ServerName("others.test"),), denied=()),
    Peers.of(OWN, enabled=True, allowed=None, denied=(ServerName("THEM.test"),)),
    Peers.of(ServerName("Them.TEST"), enabled=True, allowed=None, denied=()),
]


@pytest.mark.parametrize("peers", DENIED)
async def test_nothing_is_sent_to_a_server_that_is_not_permitted(peers: Peers) -> None:
    transport = FakeTransport()
    ask = client(transport, peers)

    with pytest.raises(FederationDenied):
        await ask.get(THEM, PATH)
    with pytest.raises(FederationDenied):
        async with streamed(ask):
            pytest.fail("nothing must come")
    assert not transport.sent


async def test_an_allowed_server_is_asked_in_any_case() -> None:
    peers = Peers.of(OWN, enabled=True, allowed=(ServerName("Them.TEST"),), denied=())

    assert await client(FakeTransport(), peers).get(THEM, PATH) == {}


REFUSALS = [
    (403, b'{"errcode":"M_FORBIDDEN","error":"no"}', (403, "M_FORBIDDEN", "no")),
    (500, b'{"errcode":"M_UNKNOWN"}', (500, "M_UNKNOWN", "")),
    (404, b"<html>", (404, "M_UNKNOWN", "no standard error")),
    (400, b'{"errcode":7}', (400, "M_UNKNOWN", "no standard error")),
    (401, b"[]", (401, "M_UNKNOWN", "no standard error")),
    (
        403,
        orjson.dumps({"errcode": "M_" + "A" * 500, "error": "e" * 5000}),
        (403, "M_" + "A" * 98, "e" * 300),
    ),
    (429, b'{"errcode":"M_X","x":"' + b"a" * 70_000 + b'"}', (429, "M_UNKNOWN", None)),
]


@pytest.mark.parametrize(("status", "body", "expected"), REFUSALS)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_no_is_a_peer_error(
    status: int,
    body: bytes,
    expected: tuple[int, str, str | None],
    *,
    is_streamed: bool,
) -> None:
    ask = client(FakeTransport(status, body))

    with pytest.raises(PeerError) as caught:
        await (read_streamed(ask) if is_streamed else ask.get(THEM, PATH))

    error = caught.value
    assert (error.status, error.errcode) == expected[:2]
    assert expected[2] in {error.message, None}


GARBAGE = [
    (200, b"not json"),
    (200, b'{"a":1,"a":2}'),
    (200, b"[" * 201 + b"]" * 201),
    (200, b'{"a":NaN}'),
    (200, b'"\xff"'),
    (200, b""),
    (302, b"{}"),
    (502, b"<html>Bad gateway</html>"),
]


@pytest.mark.parametrize(("status", "body"), GARBAGE)
async def test_garbage_is_as_good_as_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(PeerUnreachable, match=r"them\.test"):
        await client(FakeTransport(status, body)).get(THEM, PATH)


async def test_numbers_of_old_rooms_stay_exact() -> None:
    """Hashes of events of room versions 1 to 5 cover them."""
    answer = b'{"n":%d}' % (2**64 + 1)

    assert await client(FakeTransport(200, answer)).get(THEM, PATH) == {"n": 2**64 + 1}


async def test_a_streamed_answer_comes_unparsed() -> None:
    transport = FakeTransport(answer=b"not json")

    assert await read_streamed(client(transport)) == b"not json"
    assert sent_and_verified(transport).content == {"join": 1}


def streamed(
    ask: FederationClient,
) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    return ask.put_and_stream(THEM, PATH, {"join": 1}, timeout_s=10, bytes_max=100_000)


async def read_streamed(ask: FederationClient) -> bytes:
    async with streamed(ask) as chunks:
        return b"".join([chunk async for chunk in chunks])
