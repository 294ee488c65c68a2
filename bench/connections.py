"""Connections to a server under test, for many small requests.

The load generator has one of the two cores that there may be, and shares their caches
with the server. With aiohttp's client a request takes it 0.28 ms of CPU, more than
most take the server, so that rates and latencies told of the load generator; with this
one it takes a quarter of that.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

_PATIENCE_S: Final = 300
# Less than a server keeps a connection that nobody uses.
_IDLE_MAX_S: Final = 15
# As many as other clients send.
_HEADERS: Final = (
    "Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: tremula-bench\r\n"
)


class Unanswered(Exception):
    """A server closed its connection, or sent nothing for too long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes


@dataclass(slots=True)
class Connections:
    """As many connections as there are requests at once; they stay open."""

    _idle: dict[str, list["_Connection"]] = field(
        default_factory=lambda: defaultdict[str, list["_Connection"]](list)
    )

    async def request(
        self,
        url: str,
        method: str,
        target: str,
        *,
        headers: str = "",
        body: bytes = b"",
    ) -> Answer:
        """Ask the server at *url*, which is without a path.

        *headers* are lines that each end with CR LF; *target* is the path with its
        query, both encoded.

        Raises:
            Unanswered: there is no answer.
        """
        connection = self._unused(url) or await _Connection.to(url)
        length = "" if method == "GET" else f"Content-Length: {len(body)}\r\n"
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {connection.host}\r\n"
            f"{_HEADERS}{length}{headers}\r\n"
        )
        answer = await connection.ask(head.encode("ascii") + body)
        if connection.is_open:
            self._idle[url].append(connection)
        return answer

    def close(self) -> None:
        """Close all that nobody uses."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()

    def _unused(self, url: str) -> "_Connection | None":
        idle = self._idle[url]
        least_s = time.monotonic() - _IDLE_MAX_S
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.used_s > least_s:
                return connection
            connection.close()
        return None


class _Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.is_open = True
        self.used_s = 0.0
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def to(cls, url: str) -> "_Connection":
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: cls(parts.netloc), parts.hostname or "", parts.port or 80
            )
        except OSError as error:
            raise Unanswered(str(error)) from None
        return connection

    async def ask(self, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        patience = loop.call_later(_PATIENCE_S, self.close)
        try:
            self._transport.write(request)
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            patience.cancel()

    def close(self) -> None:
        self.is_open = False
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail(str(exc or "the connection was closed"))

    # httptools

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts)
        self._parts.clear()
        self.used_s = time.monotonic()
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), body))

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unanswered(why))


@asynccontextmanager
async def connections() -> AsyncIterator[Connections]:
    """Connections that are closed in the end."""
    opened = Connections()
    try:
        yield opened
    finally:
        opened.close()
