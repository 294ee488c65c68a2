"""A request and its answer, on the wire of HTTP/1.1, as ASGI has them."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, Protocol

from tremula.infra.http.asgi import Message, RawHeaders, Scope

BUFFERED_BYTES_MAX: Final = 65_536
"""Of more than that of a body, no more is read until it is taken."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    for status in HTTPStatus
}


class Wire(Protocol):
    """What an exchange goes over. ``writable`` is there while the client is slow."""

    writable: asyncio.Event | None

    @property
    def date_line(self) -> bytes:
        """The header ``Date`` as it is now."""
        ...

    def write(self, data: bytes) -> None:
        """Send *data*, sooner or later."""
        ...

    def read_on(self) -> None:
        """Read, if that was paused."""
        ...

    def pause_reading(self) -> None:
        """Read no more until `read_on`."""
        ...


class Exchange:
    """One request, from its head on, until it is answered.

    ``keeps_alive``: the connection is not to be closed after it. ``has_begun`` and
    ``is_answered``: some of the answer is sent, or all of it. ``is_lost``: nobody is
    there to be answered.
    """

    __slots__ = (
        "_buffered_bytes",
        "_expects_continue",
        "_has_whole_body",
        "_head",
        "_left_bytes",
        "_news",
        "_pieces",
        "_wire",
        "has_begun",
        "is_answered",
        "is_lost",
        "keeps_alive",
        "scope",
    )

    def __init__(
        self, wire: Wire, scope: Scope, *, keeps_alive: bool, expects_continue: bool
    ) -> None:
        self._wire = wire
        self.scope = scope
        self.keeps_alive = keeps_alive
        self.has_begun = False
        self.is_answered = False
        self.is_lost = False
        self._expects_continue = expects_continue
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0
        self._has_whole_body = False
        # There is one while somebody waits for more of the body.
        self._news: asyncio.Event | None = None
        # Kept back, so that it is one system call with the body.
        self._head = b""
        self._left_bytes = 0

    # From the wire

    def take(self, piece: bytes) -> None:
        """More of the body has come."""
        self._pieces.append(piece)
        self._buffered_bytes += len(piece)
        if self._buffered_bytes > BUFFERED_BYTES_MAX:
            self._wire.pause_reading()
        self._tell()

    def end_body(self) -> None:
        """The body has come as a whole."""
        self._has_whole_body = True
        self._tell()

    def lose(self) -> None:
        """The client is gone."""
        self.is_lost = True
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    # ASGI

    async def receive(self) -> Message:
        """What has come of the body, or word that no more comes."""
        if self._expects_continue:
            self._expects_continue = False
            self._wire.write(_CONTINUE)
        while not (self._pieces or self._has_whole_body or self.is_lost):
            self._wire.read_on()
            self._news = asyncio.Event()
            await self._news.wait()
        if self.is_lost:
            return {"type": "http.disconnect"}
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._buffered_bytes = 0
        if not self._has_whole_body:
            self._wire.read_on()
        return {
            "type": "http.request",
            "body": body,
            "more_body": not self._has_whole_body,
        }

    async def send(self, message: Message) -> None:
        """Send the head, with the first of the body; or more of that."""
        if self._wire.writable is not None:
            await self._wire.writable.wait()
        if self.is_lost:
            return
        if not self.has_begun:
            self.has_begun = True
            self._head = self._format_head(message["status"], message["headers"])
            return
        body: bytes = b"" if self.scope["method"] == "HEAD" else message["body"]
        self._left_bytes -= len(body)
        is_last = not message.get("more_body", False)
        if self._left_bytes < 0 or (is_last and self._left_bytes):
            raise RuntimeError("the body is not as long as its head says")
        self.is_answered = is_last
        head, self._head = self._head, b""
        self._wire.write(head + body)

    def _format_head(self, status: int, headers: RawHeaders) -> bytes:
        if self._expects_continue:
            # It is not asked for, so what comes next may be the body, or a request.
            self._expects_continue = self.keeps_alive = False
        lines = [_STATUS_LINES[status], self._wire.date_line]
        for name, value in headers:
            if name == b"connection":
                # Of ours there is none but "close".
                self.keeps_alive = False
                continue
            lines += (name, b": ", value, b"\r\n")
            if name == b"content-length" and self.scope["method"] != "HEAD":
                self._left_bytes = int(value)
        if not self.keeps_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)


def format_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer without more than *headers*."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join([_STATUS_LINES[status], *lines, b"\r\n"])
