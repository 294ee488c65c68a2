"""The way by which the others reach a server: it can be shut."""

import asyncio
from asyncio import StreamReader, StreamWriter
from typing import Final

_PIECE_BYTES: Final = 65536


class Gate:
    """Passes connections on to a port of this machine while it is open.

    It listens all the time, at a port that never changes: who knocks at a shut gate is
    turned away at once, as by a machine on which nothing listens.
    """

    def __init__(self) -> None:
        self.port = 0
        self.target_port = 0
        # Set when somebody was turned away.
        self.has_refused = asyncio.Event()
        self.is_open = True
        self._server: asyncio.Server | None = None
        self._writers: set[StreamWriter] = set()

    async def listen(self) -> None:
        """Take a free port."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Cut all connections, and let none through."""
        self.is_open = False
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        """Let connections through again."""
        self.is_open = True

    async def close(self) -> None:
        """Listen no more."""
        assert self._server
        self.shut()
        self._server.close()
        await self._server.wait_closed()

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        if not self.is_open:
            self.has_refused.set()
            writer.transport.abort()
            return
        try:
            inner = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, inner[1]}
        self._writers |= ends
        try:
            await asyncio.gather(_copy(reader, inner[1]), _copy(inner[0], writer))
        finally:
            self._writers -= ends


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass on what comes until it ends; then say that it has ended."""
    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        # One side is gone: so is the other for whoever is behind this gate.
        writer.transport.abort()
    finally:
        writer.close()
