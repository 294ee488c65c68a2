"""A connection that speaks WebSocket; its frames are read by `websockets`.

Imported when the first one is opened.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, cast

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, Protocol, Side
from websockets.server import ServerProtocol

from tremula.infra.http.websocket import (
    MESSAGE_BYTES_MAX,
    CloseCode,
    Conversation,
    WebSocketClosed,
)

_WAITING_MAX: Final = 16
"""Of more messages than that the other side is not read, until they are received."""
_PIECE_S: Final = 60.0
_CLOSING_S: Final = 5.0


def handshake(headers: Mapping[str, str]) -> dict[str, str] | None:
    """The headers of the answer to a client's handshake; None if it is none."""
    answer = ServerProtocol().accept(Request("/", Headers(headers)))
    return dict(answer.headers.raw_items()) if answer.status_code == 101 else None


class WebSocketConnection(asyncio.Protocol):
    """Implements `WebSocket`, from the moment at which the handshake was answered."""

    def __init__(
        self,
        conversation: Conversation,
        on_lost: Callable[["WebSocketConnection"], None],
    ) -> None:
        self._conversation = conversation
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._wire = Protocol(Side.SERVER, state=OPEN, max_size=MESSAGE_BYTES_MAX)
        self._messages: deque[bytes] = deque()
        self._pieces: list[bytes] = []
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed: tuple[int, str] | None = None
        self._is_reading = True
        self._was_heard = True
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    # `WebSocket`

    async def receive(self) -> bytes:
        """See `WebSocket.receive`."""
        while not self._messages:
            if self._closed is not None:
                raise WebSocketClosed(*self._closed)
            self._news.clear()
            await self._news.wait()
        message = self._messages.popleft()
        self._read_on()
        return message

    async def send(self, message: bytes) -> None:
        """See `WebSocket.send`."""
        if self._closed is None:
            self._wire.send_text(message)
            self._write()
        try:
            async with asyncio.timeout(_PIECE_S):
                await self._writable.wait()
        except TimeoutError:
            self._transport.abort()
            self._end(CloseCode.ABNORMAL, "too slow")
        if self._closed is not None:
            raise WebSocketClosed(*self._closed)

    def close(self, code: int, reason: str = "") -> None:
        """See `WebSocket.close`."""
        if self._closed is not None:
            return
        self._wire.send_close(code, reason)
        self._write()
        self._messages.clear()
        self._end(code, reason)
        self._read_on()
        self._set_timer(_CLOSING_S, self._transport.abort)

    def shutdown(self) -> None:
        """Close: the server stops."""
        self.close(CloseCode.RESTART, self._conversation.farewell)

    # `asyncio.Protocol`

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake has been answered."""
        # uvloop's has all methods of asyncio's, and is none of its kind.
        self._transport = cast("asyncio.Transport", transport)
        self._set_timer(self._conversation.ping_s, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The other side is gone."""
        self._end(CloseCode.ABNORMAL, "lost")
        self._set_timer(None)
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        """Take messages out of *data*."""
        self._was_heard = True
        self._wire.receive_data(data)
        for frame in self._wire.events_received():
            assert isinstance(frame, Frame)
            self._take(frame)
        self._write()
        sent = self._wire.close_sent
        if sent is not None and self._closed is None:
            # An answer to the other side's, or a protocol error.
            self._end(sent.code, sent.reason)
        if len(self._messages) >= _WAITING_MAX and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The other side does not read as fast as we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    # What goes on inside

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self.close(CloseCode.UNSUPPORTED)
        if self._closed is not None or frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return
        self._pieces.append(bytes(frame.data))
        if frame.fin:
            self._messages.append(b"".join(self._pieces))
            self._pieces.clear()
            self._news.set()

    def _write(self) -> None:
        pieces = self._wire.data_to_send()
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))
            if not pieces[-1]:
                # The end of the stream.
                self._transport.close()

    def _end(self, code: int, reason: str) -> None:
        if self._closed is None:
            self._closed = (code, reason)
        self._news.set()
        self._writable.set()

    def _read_on(self) -> None:
        if not self._is_reading and len(self._messages) < _WAITING_MAX:
            self._is_reading = True
            self._transport.resume_reading()

    def _look_after(self) -> None:
        if not self._was_heard and self._is_reading:
            self._transport.abort()
            return
        self._was_heard = False
        self._wire.send_ping(b"")
        self._write()
        self._set_timer(self._conversation.ping_s, self._look_after)

    def _set_timer(
        self, seconds: float | None, callback: Callable[[], None] | None = None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None and callback is not None:
            self._timer = self._loop.call_later(seconds, callback)
