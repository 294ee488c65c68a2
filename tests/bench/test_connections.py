"""The load generator's connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bench.connections import Answer, Unanswered, connections

_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _served(serve: Serve) -> AsyncIterator[str]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


def _head(lines: bytes) -> list[bytes]:
    return lines.removesuffix(b"\r\n\r\n").split(b"\r\n")


async def test_a_connection_is_used_again() -> None:
    heads: list[list[list[bytes]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append([])
        while lines := await reader.readuntil(b"\r\n\r\n"):
            heads[-1].append(_head(lines))
            writer.write(_SHORT)

    async with _served(serve) as url, connections() as opened:
        first = await opened.request(url, "GET", "/one")
        second = await opened.request(url, "GET", "/two?a=b", headers="X: y\r\n")
        both = await asyncio.gather(
            opened.request(url, "GET", "/three"), opened.request(url, "GET", "/four")
        )
    assert [first, second, *both] == [Answer(200, b"ok")] * 4
    assert [len(asked) for asked in heads] == [3, 1]
    assert heads[0][0][0] == b"GET /one HTTP/1.1"
    assert b"Host: " + url.removeprefix("http://").encode() in heads[0][0]
    assert heads[0][1][0] == b"GET /two?a=b HTTP/1.1"
    assert heads[0][1][-1] == b"X: y"


async def test_a_body_is_sent_with_its_length_and_one_in_parts_is_read() -> None:
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 4" in _head(lines)
        bodies.append(await reader.readexactly(4))
        writer.write(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno")
        await writer.drain()
        writer.write(b"\r\n3\r\nne.\r\n0\r\n\r\n")

    async with _served(serve) as url, connections() as opened:
        answer = await opened.request(url, "POST", "/", body=b"body")
    assert bodies == [b"body"]
    assert answer == Answer(404, b"none.")


@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]
)
async def test_a_server_that_hangs_up_has_not_answered(before: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(before)

    async with _served(serve) as url, connections() as opened:
        with pytest.raises(Unanswered, match="closed"):
            await opened.request(url, "GET", "/")


async def test_what_is_not_http_is_no_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello\r\n\r\n")

    async with _served(serve) as url, connections() as opened:
        with pytest.raises(Unanswered, match="not HTTP"):
            await opened.request(url, "GET", "/")


async def test_nobody_there_is_no_answer() -> None:
    async with _served(lambda _reader, _writer: asyncio.sleep(0)) as url:
        pass
    async with connections() as opened:
        with pytest.raises(Unanswered):
            await opened.request(url, "GET", "/")


async def test_after_a_close_another_connection_is_made() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_SHORT.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))

    async with _served(serve) as url, connections() as opened:
        for _ in range(2):
            assert await opened.request(url, "GET", "/") == Answer(200, b"ok")
