"""Memory that is sent is not copied; nothing else may be in it until it is gone."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import pytest
import uvloop

from tests.fakes.remote import authority, trusted_ca_file, validity
from tremula.infra.certificates import issue
from tremula.infra.http.connections import Connections
from tremula.infra.http.exchange import Exchange
from tremula.infra.http.protocol import HttpConnection

PIECE_BYTES: Final = 100_000
PIECES: Final = 250


async def _send_from_one_buffer(exchange: Exchange) -> None:
    """An application that reads each piece into the memory of the last one, and answers
    in a later turn of the loop than it is asked.
    """
    await asyncio.sleep(0)
    exchange.begin(b"HTTP/1.1 200 OK\r\n", PIECES * PIECE_BYTES)
    buffer = bytearray(PIECE_BYTES)
    for number in range(PIECES):
        buffer[:] = bytes([number]) * PIECE_BYTES
        await exchange.send(memoryview(buffer))
    buffer[:] = b"\xff" * PIECE_BYTES
    await exchange.send(b"")


async def _received(
    times: int, serves: ssl.SSLContext | None, trusts: ssl.SSLContext | None
) -> list[bytes]:
    """What a client that reads slowly gets, one answer after the other."""
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpConnection(_send_from_one_buffer, Connections(), start_s=10),
        "127.0.0.1",
        0,
        ssl=serves,
    )
    port = server.sockets[0].getsockname()[1]
    name = "localhost" if trusts else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, limit=1024, ssl=trusts, server_hostname=name
    )
    answers: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            for _ in range(times):
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                answers.append(await reader.readexactly(PIECES * PIECE_BYTES))
    finally:
        writer.transport.abort()
        server.close()
    return answers


def _check(answer: bytes) -> None:
    for number in range(PIECES):
        piece = answer[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
        assert piece == bytes([number]) * PIECE_BYTES


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    issued = issue(["localhost"], validity(), authority())
    path = tmp_path / "certificate.pem"
    path.write_bytes(issued.key_pem() + issued.certificate_pem())
    return path


def test_a_slow_client_gets_what_was_there_when_it_was_sent() -> None:
    """On the loop that servers run on: that of asyncio copies what it can't send."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(_received(2, None, None))

    for answer in answers:
        _check(answer)


def test_so_does_one_over_tls(certificate: Path, tmp_path: Path) -> None:
    """Again and again: no answer leaves the connection as if it were blocked."""
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate)
    trusts = ssl.create_default_context(cafile=trusted_ca_file(tmp_path))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(_received(3, serves, trusts))

    for answer in answers:
        _check(answer)
