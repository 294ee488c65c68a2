"""Connections that speak HTTP/1.1, with bounds of time and of memory."""

import asyncio
from collections import deque
from typing import Final, cast

import httptools

from tremula.infra.http.client_address import LOCAL_SOCKET
from tremula.infra.http.connections import Connections
from tremula.infra.http.exchange import Exchange, HttpApp
from tremula.infra.http.known_heads import find_known_request
from tremula.infra.http.patience import Patience
from tremula.infra.http.reading import RequestReader
from tremula.infra.http.response import Response, encode_response
from tremula.infra.http.summons import Summons
from tremula.infra.http.websocket import Conversation, WebSocket
from tremula.protocol.errors import MatrixError, TooLarge, Unknown

HEAD_BYTES_MAX = 65_536
"""Of a head; and of what comes in a row around the pieces of a body without being of
them, such as trailers.
"""
KEEP_ALIVE_S: Final = 75.0


class HttpConnection(asyncio.Protocol):
    """One connection: its requests, answered one after the other, by one task.

    A thousand clients that wait are a thousand of these: hence the slots, and no
    object that nobody waits for.
    """

    __slots__ = (
        "_answering",
        "_app",
        "_connections",
        "_is_reading",
        "_patience",
        "_reader",
        "_summons",
        "_task",
        "_transport",
        "_waiting",
        "peer",
        "writable",
    )

    def __init__(
        self, app: HttpApp, connections: Connections, *, start_s: float
    ) -> None:
        self._app = app
        self._connections = connections
        self._patience = Patience(
            start_s, on_silence=self._close, on_slowness=self._refuse_slowness
        )
        self._transport: asyncio.Transport
        # There is one once something comes that is not known.
        self._reader: RequestReader | None = None
        # The request being answered, and those that came meanwhile.
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] | None = None
        # From the first request on, it answers or waits for the next one.
        self._task: asyncio.Task[None] | None = None
        self._summons = Summons()
        self.peer = LOCAL_SOCKET
        self.writable: asyncio.Event | None = None
        self._is_reading = True

    # `asyncio.Protocol`

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the client a while to say something."""
        # uvloop's has all methods of asyncio's, and is none of its kind.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = peer[0]
        self._connections.open.add(self)
        self._patience.expect()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell who works for this client."""
        self._patience.end()
        self._connections.open.discard(self)
        if self._reader is not None:
            self._reader.end()
            self._reader = None
        for exchange in (self._answering, *(self._waiting or ())):
            if exchange is not None:
                exchange.lose()
        self.resume_writing()
        # A second task that waits for that would cost 2 KB a long poll.
        if self._answering is None:
            self._summons.go()
        elif self._answering.ends_with_client:
            assert self._task is not None
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Read, and begin to answer."""
        if self._answering is not None:
            self._read(data)
            return
        exchange = None if self._is_in_message else find_known_request(self, data)
        if exchange is not None:
            self._patience.expect_nothing()
            self._answering = exchange
        else:
            self._read(data)
            # Not before all that came is parsed: most bodies come with their heads.
            if self._answering is None:
                return
        if self._task is None:
            self._task = self._connections.run(self._serve())
        else:
            self._connections.tasks.add(self._task)
            self._summons.go()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self.writable is not None:
            self.writable.set()
            self.writable = None

    # What a `RequestReader` finds

    def request_begins(self) -> None:
        """Some of a request is there."""
        self._patience.expect_nothing()

    def request_came(self, exchange: Exchange) -> None:
        """The head is there; its handler may start."""
        if self._answering is None:
            self._answering = exchange
        else:
            self.pause_reading()
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(exchange)

    # What exchanges and their handlers need (`Wire`)

    @property
    def date_line(self) -> bytes:
        """The header ``Date`` as it is now."""
        return self._connections.date_line

    def write(self, data: bytes) -> None:
        """Send *data*, sooner or later."""
        self._transport.write(data)

    def write_both(self, head: bytes, piece: bytes | memoryview) -> None:
        """Send both in one system call: two would wake the client twice.

        It is not copied, so whoever sent it waits until all of it is gone.
        """
        # What TLS has encrypted is a copy. Its transport takes a limit of nothing for
        # always reached: nobody would be told that more may be written.
        is_copied = self._transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(1 if is_copied else 0, 0)
        self._transport.writelines([head, piece])

    def pause_reading(self) -> None:
        """Read no more until `read_on`."""
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()
            self._patience.rest()

    def read_on(self) -> None:
        """Read, if that was paused."""
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()
            if self._is_in_message:
                self._patience.watch(0)

    def abort(self) -> None:
        """End the connection amid an answer, which the client sees."""
        if self._answering is not None:
            self._answering.lose()
        self._transport.abort()

    def become_websocket(self, head: bytes, conversation: Conversation) -> WebSocket:
        """Answer the handshake with *head*, and hand the transport over."""
        from tremula.infra.http.websocket_connection import (  # noqa: PLC0415 - see `upgrade`
            WebSocketConnection,
        )

        self._patience.end()
        connections = self._connections.open
        socket = WebSocketConnection(conversation, connections.discard)
        connections.discard(self)
        connections.add(socket)
        if self._answering is not None:
            self._answering.lose()
        self.read_on()
        self._transport.write(head + b"\r\n")
        self._transport.set_protocol(socket)
        socket.connection_made(self._transport)
        return socket

    # The server

    def shutdown(self) -> None:
        """Close, once what was asked is answered: the server stops."""
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.keeps_alive = False

    # What goes on inside

    def _read(self, data: bytes) -> None:
        """Parse, and watch the pace of what has not come whole."""
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(self)
        try:
            reader.feed(data)
        except httptools.HttpParserUpgrade:
            # Endpoints take upgrades, and others need not.
            pass
        except httptools.HttpParserError:
            self._refuse(Unknown("this is not HTTP", status=400))
        if not reader.is_in_message or not self._is_reading:
            self._patience.rest()
        else:
            self._patience.watch(len(data))
            if reader.unheeded_bytes > HEAD_BYTES_MAX:
                self._refuse(TooLarge("the request has too many headers", status=431))

    @property
    def _is_in_message(self) -> bool:
        return self._reader is not None and self._reader.is_in_message

    async def _serve(self) -> None:
        """Answer one request after the other, until the connection ends."""
        exchange = self._answering
        try:
            while exchange is not None:
                await self._app(exchange)
                goes_on = exchange.is_answered and exchange.keeps_alive
                if exchange.is_lost or not goes_on:
                    break
                if self._waiting:
                    self._answering = self._waiting.popleft()
                    # Others have their turn before a second one of the same client.
                    await asyncio.sleep(0)
                else:
                    self._answering = None
                    self._connections.rest(self._task)
                    self.read_on()
                    self._patience.expect(KEEP_ALIVE_S)
                    await self._summons
                exchange = self._answering
        finally:
            self._answering = None
            self._connections.rest(self._task)
            if exchange is None or not exchange.is_lost:
                self._transport.close()

    def _close(self) -> None:
        self._transport.close()

    def _refuse_slowness(self) -> None:
        self._refuse(Unknown("the request comes too slowly", status=408))

    def _refuse(self, error: MatrixError) -> None:
        """Answer in the place of the handler, and close."""
        _refuse(self._transport, self._answering, error)


def _refuse(
    transport: asyncio.Transport, answering: Exchange | None, error: MatrixError
) -> None:
    if transport.is_closing():
        return
    if answering is None or not answering.has_begun:
        refusal = Response(error.http_status, error.body(), {"Connection": "close"})
        encoded = encode_response(refusal)
        assert isinstance(encoded.body, bytes)
        transport.write(encoded.head + b"\r\n" + encoded.body)
    transport.close()
