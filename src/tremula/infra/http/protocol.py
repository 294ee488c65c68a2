"""uvicorn's HTTP/1.1 connection, with the bounds that it lacks.

A head or body that comes too slowly, or a head without end, would hold a connection
and memory for as long as its sender likes ("slow-loris").
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
)
from uvicorn.server import ServerState

from tremula.infra.http.asgi import RawHeaders
from tremula.infra.http.hang_up import SCOPE_KEY
from tremula.infra.http.joined_writes import JoinedWrites
from tremula.infra.http.lazy_event import LazyEvent
from tremula.infra.http.response import Response, encode_response
from tremula.infra.http.websocket import Conversation, WebSocket
from tremula.protocol.errors import MatrixError, TooLarge, Unknown

HEAD_BYTES_MAX = 65_536
START_S = 20.0
SLOWEST_BYTES_PER_S = 4096


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Subclassed against the rule: uvicorn offers no other way to see its parser.
    A thousand clients that wait are a thousand of these: hence the slots (with more
    than thirty attributes an instance has a dict of its own, 1.3 KB) and lazy events.
    """

    __slots__ = (
        "_began_s",
        "_is_in_head",
        "_is_in_message",
        "_pace_timer",
        "_received_bytes",
        "_start_s",
        "_writes",
        "on_hang_up",
    )

    def __init__(self, config: Config, state: ServerState, *, start_s: float) -> None:
        super().__init__(config, state, {})
        self._start_s = start_s
        self.on_hang_up: Callable[[], None] | None = None
        self._pace_timer: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._is_in_message = False
        self._received_bytes = 0
        self._began_s = 0.0

    def connection_made(  # type: ignore[override]  # as uvicorn's own
        self, transport: asyncio.Transport
    ) -> None:
        """Give the client a while to say something. uvicorn would wait for ever."""
        self._writes = JoinedWrites(transport)
        super().connection_made(cast("asyncio.Transport", self._writes))
        self.flow._is_writable_event = LazyEvent(is_set=True)  # type: ignore[assignment]  # noqa: SLF001
        self.timeout_keep_alive_task = self.loop.call_later(
            self._start_s, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who works for this client."""
        self._stop_timer()
        super().connection_lost(exc)
        if self.on_hang_up is not None:
            self.on_hang_up()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_head = self._is_in_message = True
        super().on_message_begin()
        self.scope[SCOPE_KEY] = self  # type: ignore[literal-required]  # no ASGI key

    def on_headers_complete(self) -> None:
        """The head is there; its handler may start."""
        self._is_in_head = False
        super().on_headers_complete()
        self.cycle.message_event = LazyEvent()  # type: ignore[assignment]  # as good

    def on_body(self, body: bytes) -> None:
        """A piece of the body is there; mostly it is taken before the next one comes.

        uvicorn copies each twice: into what it gathers, and out of it.
        """
        cycle = self.cycle
        if not cycle.body:
            cycle.body = body  # type: ignore[assignment]  # `receive` makes bytes of it
            body = b""
        elif isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there."""
        self._is_in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The handler has answered."""
        # Of an answer to HEAD, and of one with status 204, there is nothing but a head.
        self._writes.flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, and watch the pace of a request that has not come whole."""
        super().data_received(data)
        if not self._is_in_message:
            if self._pace_timer is not None:
                self._stop_timer()
            return
        if self._pace_timer is None:
            self._received_bytes = 0
            self._began_s = self.loop.time()
            self._pace_timer = self.loop.call_later(self._start_s, self._check_pace)
        self._received_bytes += len(data)
        if self._is_in_head and self._received_bytes > HEAD_BYTES_MAX:
            self._refuse(TooLarge("the head of the request is too large", status=431))

    async def abort(self) -> None:
        """End the connection amid an answer, and wait until uvicorn knows."""
        self.transport.abort()
        cycle = self.cycle
        while (await cycle.receive())["type"] != "http.disconnect":
            pass

    def become_websocket(
        self, headers: RawHeaders, conversation: Conversation
    ) -> WebSocket:
        """Answer the handshake; uvicorn takes the connection for lost."""
        from tremula.infra.http.websocket_connection import (  # noqa: PLC0415 - see `upgrade`
            WebSocketConnection,
        )

        # uvicorn declares its own protocols only; `HttpServer` stops all alike.
        connections: set[Any] = self.connections
        socket = WebSocketConnection(conversation, connections.discard)
        connections.discard(self)
        connections.add(socket)
        self.cycle.disconnected = True
        self.flow.resume_reading()
        head = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[101], *head, b"\r\n"]))
        transport = self._writes.release()
        transport.set_protocol(socket)
        socket.connection_made(transport)
        return socket

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to warn of: endpoints take upgrades, and others need not."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(Unknown(msg, status=400))

    def _check_pace(self) -> None:
        now_s = self.loop.time()
        if self.flow.read_paused:
            # It is us who are slow: the handler has not taken what came.
            self._began_s, self._received_bytes = now_s, 0
        allowed_s = self._start_s + self._received_bytes / SLOWEST_BYTES_PER_S
        left_s = self._began_s + allowed_s - now_s
        if left_s > 0:
            self._pace_timer = self.loop.call_later(left_s, self._check_pace)
        else:
            self._refuse(Unknown("the request comes too slowly", status=408))

    def _refuse(self, error: MatrixError) -> None:
        """Answer in the place of the handler, and close."""
        if self.transport.is_closing():
            return
        cycle = self.cycle  # of the newest request; None before the first
        is_answering = cycle and cycle.response_started and not cycle.response_complete
        if not is_answering:
            refusal = Response(error.http_status, error.body(), {"Connection": "close"})
            encoded = encode_response(refusal)
            assert isinstance(encoded.body, bytes)
            head = [b"%s: %s\r\n" % header for header in encoded.headers]
            self.transport.write(
                b"".join([STATUS_LINE[encoded.status], *head, b"\r\n", encoded.body])
            )
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._pace_timer is not None:
            self._pace_timer.cancel()
            self._pace_timer = None
