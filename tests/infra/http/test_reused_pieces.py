"""Memory that is sent is not copied; nothing else may be in it until it is gone."""

import asyncio
from typing import Final

import uvloop

from tremula.infra.http.connections import Connections
from tremula.infra.http.exchange import Exchange
from tremula.infra.http.protocol import HttpConnection

PIECE_BYTES: Final = 100_000
PIECES: Final = 250


async def _send_from_one_buffer(exchange: Exchange) -> None:
    """An application that reads each piece into the memory of the last one."""
    exchange.begin(b"HTTP/1.1 200 OK\r\n", PIECES * PIECE_BYTES)
    buffer = bytearray(PIECE_BYTES)
    for number in range(PIECES):
        buffer[:] = bytes([number]) * PIECE_BYTES
        await exchange.send(memoryview(buffer))
    buffer[:] = b"\xff" * PIECE_BYTES
    await exchange.send(b"")


async def _received() -> bytes:
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpConnection(_send_from_one_buffer, Connections(), start_s=10),
        "127.0.0.1",
        0,
    )
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        async with asyncio.timeout(20):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            return await reader.readexactly(PIECES * PIECE_BYTES)
    finally:
        writer.transport.abort()
        server.close()


def test_a_slow_client_gets_what_was_there_when_it_was_sent() -> None:
    """On the loop that servers run on: that of asyncio copies what it can't send."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(_received())

    for number in range(PIECES):
        piece = received[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
        assert piece == bytes([number]) * PIECE_BYTES
