"""Connections to servers over real sockets, of clients that send what they like."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson

from tremula.infra.config import Api, Listener
from tremula.infra.http.server import HttpServer

ANY_PORT = 0
EVERYTHING = Listener(port=ANY_PORT, apis=tuple(Api))
DEADLINE_S = 10

Listen = Callable[..., Awaitable[HttpServer]]


class Connection:
    """One connection of a client that sends whatever bytes it likes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, *lines: str, body: str = "") -> None:
        """Send a request's head, and as much of its body as there is."""
        head = "\r\n".join([*lines, "Host: test", "", ""])
        self.writer.write((head + body).encode())

    async def head(self) -> str:
        """Read the head of an answer."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self._reader.readuntil(b"\r\n\r\n")).decode()

    async def status(self) -> int:
        """Read one answer whole; its status."""
        head = await self.head()
        await self.body(_size_of_body(head))
        return int(head.split()[1])

    async def json(self) -> object:
        """Read one answer whole; its body, parsed."""
        return orjson.loads(await self.body(_size_of_body(await self.head())))

    async def body(self, size: int) -> bytes:
        """Read so much of a body."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readexactly(size)

    async def is_closed(self) -> bool:
        """Whether the server ends the connection without another word."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self._reader.read(1) == b""
            except ConnectionResetError:
                return True

    def hang_up(self) -> None:
        """Be gone at once."""
        self.writer.transport.abort()


def _size_of_body(head: str) -> int:
    length = head.lower().partition("content-length: ")[2].split("\r\n")[0]
    return int(length or 0)


@asynccontextmanager
async def connected(
    server: HttpServer, index: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Connection]:
    """A connection to one of the listeners."""
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.ports[index], ssl=tls, server_hostname=name
    )
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def event(happened: asyncio.Event) -> None:
    """Wait for what must happen soon."""
    async with asyncio.timeout(DEADLINE_S):
        await happened.wait()
