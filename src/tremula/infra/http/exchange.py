"""A request and its answer, on the wire of HTTP/1.1."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from tremula.infra.http.errors import HungUpError
from tremula.infra.http.websocket import Conversation, WebSocket

BUFFERED_BYTES_MAX: Final = 262_144
"""Of more than that of a body, no more is read until it is taken. One read of uvloop's
is less: whoever takes each at once never stops the reading.
"""

_LARGE_BYTES: Final = 65_536

_PIECE_S: Final = 60
"""How long a client may take for a piece: else it could hold one for ever."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire(Protocol):
    """What an exchange goes over. ``writable`` is there while the client is slow, and
    ``peer`` is the address at the other end.
    """

    peer: str
    writable: asyncio.Event | None

    @property
    def date_line(self) -> bytes:
        """The header ``Date`` as it is now."""
        ...

    def write(self, data: bytes) -> None:
        """Send *data*, sooner or later."""
        ...

    def write_both(self, head: bytes, piece: bytes | memoryview) -> None:
        """Send *head* and a *piece* that is too large to be copied behind it. While
        some of it is left to be sent, the client counts as slow.
        """
        ...

    def read_on(self) -> None:
        """Read, if that was paused."""
        ...

    def pause_reading(self) -> None:
        """Read no more until `read_on`."""
        ...

    def abort(self) -> None:
        """End it amid an answer, which the client sees to be incomplete."""
        ...

    def become_websocket(self, head: bytes, conversation: Conversation) -> WebSocket:
        """Answer the handshake with *head*, and be no HTTP connection any more."""
        ...


class Exchange:
    """One request, from its head on, until it is answered.

    ``target`` is its path and query string as they came, ``headers`` have lower-case
    names. ``keeps_alive``: the connection is not to be closed after it. ``has_begun``
    and ``is_answered``: some of the answer is sent, or all of it. ``is_lost``: nobody
    is there to be answered. While it ``ends_with_client``, the task that answers it is
    cancelled by that.
    """

    __slots__ = (
        "_buffered_bytes",
        "_expects_continue",
        "_has_whole_body",
        "_head",
        "_left_bytes",
        "_news",
        "_pieces",
        "_wanted_bytes",
        "ends_with_client",
        "has_begun",
        "headers",
        "is_answered",
        "is_body_taken",
        "is_lost",
        "keeps_alive",
        "method",
        "query_string",
        "raw_path",
        "wire",
    )

    def __init__(
        self,
        wire: Wire,
        method: str,
        target: tuple[bytes, bytes],
        headers: Mapping[bytes, bytes],
        *,
        keeps_alive: bool = True,
    ) -> None:
        self.wire = wire
        self.method = method
        self.raw_path, self.query_string = target
        self.headers = headers
        self.keeps_alive = keeps_alive
        self.has_begun = False
        self.is_answered = False
        self.is_lost = False
        self.ends_with_client = False
        self.is_body_taken = False
        self._has_whole_body = False
        self._expects_continue = (
            b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        )
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0
        # There is one while somebody waits for so many bytes of the body.
        self._news: asyncio.Event | None = None
        self._wanted_bytes = 0

    # From the wire

    def take(self, piece: bytes) -> None:
        """More of the body has come."""
        self._pieces.append(piece)
        self._buffered_bytes += len(piece)
        if self._buffered_bytes < self._wanted_bytes:
            return
        if self._buffered_bytes > max(BUFFERED_BYTES_MAX, self._wanted_bytes):
            self.wire.pause_reading()
        if self._news is not None:
            self._news.set()

    def end_body(self) -> None:
        """The body has come as a whole."""
        self._has_whole_body = True
        if not self._pieces:
            self.is_body_taken = True
        if self._news is not None:
            self._news.set()

    def lose(self) -> None:
        """The client is gone."""
        self.is_lost = True
        if self._news is not None:
            self._news.set()

    # For who answers

    async def receive(self) -> bytes:
        """What has come of the body; ``is_body_taken`` tells whether that was all.

        Raises:
            HungUpError: the client is gone.
        """
        return b"".join(await self.receive_pieces(1))

    async def receive_pieces(self, bytes_min: int) -> list[bytes]:
        """The same uncopied, once it is *bytes_min* or all that is to come: whoever
        has use for a megabyte only is not woken before.
        """
        if self._expects_continue:
            self._expects_continue = False
            self.wire.write(_CONTINUE)
        self._wanted_bytes = bytes_min
        while not (
            self._buffered_bytes >= bytes_min or self._has_whole_body or self.is_lost
        ):
            self.wire.read_on()
            self._news = asyncio.Event()
            await self._news.wait()
        if self.is_lost:
            raise HungUpError
        pieces = self._take()
        if not self.is_body_taken:
            self.wire.read_on()
        return pieces

    def receive_whole(self) -> bytes:
        """The whole body, if that has come; else nothing: ask `receive`."""
        if not self._has_whole_body or self.is_lost or self._expects_continue:
            return b""
        return b"".join(self._take())

    async def answer(self, head: bytes, body: bytes) -> None:
        """Send a whole answer. *head* has all but the headers of the connection."""
        if self.wire.writable is not None:
            await self.wire.writable.wait()
        self.answer_at_once(head, body)

    def answer_at_once(self, head: bytes, body: bytes) -> None:
        """Do what `answer` does, for a client that is ``writable``."""
        if self.is_lost:
            return
        self.has_begun = self.is_answered = True
        if self.method == "HEAD":
            body = b""
        self.wire.write(b"".join((head, *self._end_of_head(), body)))

    def begin(self, head: bytes, size_bytes: int) -> None:
        """Say what an answer will be, whose body of *size_bytes* is sent piece by
        piece.
        """
        self.has_begun = True
        # Kept back, so that it is one system call with the first piece.
        self._head = b"".join((head, *self._end_of_head()))
        self._left_bytes = size_bytes

    async def send(self, piece: bytes | memoryview) -> None:
        """Send more of the body. An empty piece is its end.

        Returns when the next one may be read, into the same memory: nothing is left of
        this one.

        Raises:
            TimeoutError: the client takes it too slowly.
        """
        if self.is_lost:
            return
        self._left_bytes -= len(piece)
        if self._left_bytes < 0 or (self._left_bytes and not piece):
            raise RuntimeError("the body is not as long as its head says")
        self.is_answered = not piece
        head, self._head = self._head, b""
        if len(piece) > _LARGE_BYTES:
            self.wire.write_both(head, piece)
        elif head or piece:
            self.wire.write(b"".join((head, piece)))
        if piece and self.wire.writable is not None:
            async with asyncio.timeout(_PIECE_S):
                await self.wire.writable.wait()

    def _take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        self._buffered_bytes = self._wanted_bytes = 0
        self.is_body_taken = self._has_whole_body
        return pieces

    def _end_of_head(self) -> tuple[bytes, bytes]:
        if self._expects_continue:
            # It is not asked for, so what comes next may be the body, or a request.
            self._expects_continue = self.keeps_alive = False
        end = b"\r\n" if self.keeps_alive else b"connection: close\r\n\r\n"
        return self.wire.date_line, end


HttpApp = Callable[[Exchange], Awaitable[None]]
"""Answers requests: an application as one listener serves it."""
