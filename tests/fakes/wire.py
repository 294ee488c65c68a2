"""A connection of whose answers the pieces are kept."""

import asyncio

from tremula.infra.http.websocket import Conversation, WebSocket


class FakeWire:
    """Implements ``exchange.Wire``. Its client stays until it has its answer."""

    date_line = b"date: now\r\n"

    def __init__(self, peer: str = "127.0.0.1") -> None:
        self.peer = peer
        self.pieces: list[bytes] = []
        self.calls = 0
        self.is_reading = True
        self.writable: asyncio.Event | None = None

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.calls += 1
        self.pieces.append(data)

    def write_both(self, head: bytes, piece: bytes | memoryview) -> None:
        """Keep both."""
        self.calls += 1
        self.pieces += (head, bytes(piece))

    def read_on(self) -> None:
        """Note it."""
        self.is_reading = True

    def pause_reading(self) -> None:
        """Note it."""
        self.is_reading = False

    def abort(self) -> None:
        """Fail: it was not to come to this."""
        raise AssertionError("an answer was not sent as a whole")

    def become_websocket(self, head: bytes, conversation: Conversation) -> WebSocket:
        """Fail: there is nothing beneath."""
        raise NotImplementedError
