"""Bodies that are too large for memory, over real sockets."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.infra.http import streams as stream_routes
from tests.infra.http.streams import BYTES_MAX, PIECE, PIECES, Streams
from tremula.infra.config import Api, Listener
from tremula.infra.http.application import Application
from tremula.infra.http.server import HttpServer

DEADLINE_S = 20

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def streams(application: Application) -> Streams:
    streams = Streams()
    application.router.add(stream_routes, streams)
    return streams


@pytest.fixture
async def wire(application: Application, streams: Streams) -> AsyncIterator[Wire]:
    """One connection to the server."""
    server = HttpServer(application)
    await server.listen([Listener(port=0, apis=tuple(Api))])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[0])
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.transport.abort()
        await server.stop()


def ask(wire: Wire, method: str, path: str, *headers: str, body: bytes = b"") -> None:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *headers, "", ""])
    wire[1].write(head.encode() + body)


async def answer(wire: Wire) -> tuple[str, bytes]:
    """Status line and headers in lower case, and the body."""
    reader = wire[0]
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].split("\r\n")[0])
    return head, await reader.readexactly(length)


async def test_a_body_is_read_as_it_comes(wire: Wire) -> None:
    ask(wire, "POST", "/count", "Content-Length: 90000", body=b"y" * 90_000)

    head, body = await answer(wire)

    assert head.startswith("http/1.1 200")
    assert body == b'{"size":90000,"declared":90000}'


@pytest.mark.parametrize("size", [100_000, 1_048_576, 2_500_001])
async def test_what_follows_a_long_body_is_the_next_request(
    wire: Wire, size: int
) -> None:
    """Such a body goes past the parser, also if it comes with what is behind it."""
    body = b"POST /count HTTP/1.1\r\n\r\n" * (size // 24 + 1)
    body = body[:size]
    expected = b'{"sha256":"%b"}' % hashlib.sha256(body).hexdigest().encode()

    for _ in range(2):
        ask(wire, "POST", "/digest", f"Content-Length: {size}", body=body)
    ask(wire, "POST", "/count", "Content-Length: 3", body=b"abc")

    assert (await answer(wire))[1] == expected
    assert (await answer(wire))[1] == expected
    assert (await answer(wire))[1] == b'{"size":3,"declared":3}'
    ask(wire, "POST", "/count", "Content-Length: 4", body=b"abcd")
    assert (await answer(wire))[1] == b'{"size":4,"declared":4}'


async def test_what_follows_a_long_body_must_be_http(wire: Wire) -> None:
    ask(wire, "POST", "/digest", "Content-Length: 200000", body=b"x" * 200_000)
    await answer(wire)

    wire[1].write(b"xxx\r\n\r\n")

    assert (await answer(wire))[0].startswith("http/1.1 400")


async def test_a_chunked_body_is_read_as_it_comes(wire: Wire) -> None:
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    ask(wire, "POST", "/count", "Transfer-Encoding: chunked", body=chunks)

    assert (await answer(wire))[1] == b'{"size":5,"declared":0}'


async def test_a_chunked_body_past_the_bound_is_refused(wire: Wire) -> None:
    ask(wire, "POST", "/count", "Transfer-Encoding: chunked")
    chunk = b"y" * BYTES_MAX
    wire[1].write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    wire[1].write(b"1\r\ny\r\n0\r\n\r\n")

    head, body = await answer(wire)

    assert head.startswith("http/1.1 413")
    assert b"M_TOO_LARGE" in body


async def test_a_packed_body_is_refused(wire: Wire) -> None:
    ask(
        wire, "POST", "/count", "Content-Length: 1", "Content-Encoding: gzip", body=b"x"
    )

    assert (await answer(wire))[0].startswith("http/1.1 415")


async def test_pieces_are_made_as_fast_as_they_are_taken(
    wire: Wire, streams: Streams
) -> None:
    ask(wire, "GET", "/pieces")
    reader, _ = wire
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len(PIECE))

    taken_slowly = streams.sent
    await reader.readexactly(len(PIECE) * (PIECES - 1))

    assert taken_slowly < PIECES
    assert streams.sent == PIECES
    ask(wire, "GET", "/health")
    assert streams.ended.is_set()


async def test_a_client_that_goes_ends_the_making_of_pieces(
    wire: Wire, streams: Streams
) -> None:
    ask(wire, "GET", "/pieces")
    await wire[0].readuntil(b"\r\n\r\n")

    wire[1].transport.abort()
    await streams.ended.wait()

    assert streams.sent < PIECES


async def test_what_breaks_amid_its_body_is_seen_to_be_incomplete(
    wire: Wire, streams: Streams
) -> None:
    streams.breaks_at = 2
    ask(wire, "GET", "/pieces")
    await wire[0].readuntil(b"\r\n\r\n")

    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await wire[0].readexactly(len(PIECE) * PIECES)


async def test_head_makes_no_pieces(wire: Wire, streams: Streams) -> None:
    ask(wire, "HEAD", "/pieces")

    head = (await wire[0].readuntil(b"\r\n\r\n")).decode().lower()

    assert f"content-length: {len(PIECE) * PIECES}\r\n" in head
    assert streams.sent == 0
