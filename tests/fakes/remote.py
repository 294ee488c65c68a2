"""Another server: on a loopback port, with answers written byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from tremula.infra.certificates import Certificate, Validity, issue, make_authority


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. Header names are in lower case."""

    method: str
    uri: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


# How a connection ends, or the whole server.
_ENDS = (
    ConnectionError,
    ssl.SSLError,
    asyncio.IncompleteReadError,
    asyncio.CancelledError,
)


@dataclass(slots=True)
class Remote:
    """What a running server saw."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    sni: list[str | None] = field(default_factory=list)
    connections: int = 0


def validity() -> Validity:
    """From now on, for a day."""
    return Validity(now=datetime.now(UTC), days=1)


@cache
def authority() -> Certificate:
    """The authority that all remote servers of a test run have theirs from."""
    return make_authority("Test authority", validity())


def trusted_ca_file(folder: Path) -> Path:
    """A file with the certificate of `authority`."""
    file = folder / "ca.pem"
    file.write_bytes(authority().certificate_pem())
    return file


def http_answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an answer with a body of known length."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def always(answer: bytes) -> Answer:
    """Give the same bytes to every request."""

    async def write(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return write


def by_uri(**answers: bytes) -> Answer:
    """Give the bytes of the URI's last part (``a`` for ``/x/a``); else status 404."""

    async def write(request: Received, writer: asyncio.StreamWriter) -> None:
        last = request.uri.rpartition("/")[2]
        writer.write(answers.get(last, http_answer(404)))

    return write


async def until_hung_up(writer: asyncio.StreamWriter) -> None:
    """Wait for the client to end the connection."""
    await writer.drain()
    await asyncio.Event().wait()


@asynccontextmanager
async def running_remote(
    hosts: Sequence[str],
    answer: Answer,
    folder: Path,
    *,
    signed_by: Certificate | None = None,
) -> AsyncIterator[Remote]:
    """Serve *answer* on 127.0.0.1 with a certificate for *hosts*; for none, over plain
    HTTP.
    """
    remote = Remote()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        remote.connections += 1
        with suppress(*_ENDS):
            while True:
                request = await _received(reader)
                remote.requests.append(request)
                await answer(request, writer)
                await writer.drain()
        writer.close()

    tls = None
    if hosts:
        tls = server_tls(issue(hosts, validity(), signed_by or authority()), folder)
        tls.sni_callback = lambda _socket, name, _context: remote.sni.append(name)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    remote.port = server.sockets[0].getsockname()[1]
    try:
        yield remote
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _received(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, uri, _ = first.split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, uri, headers, body)


def server_tls(certificate: Certificate, folder: Path) -> ssl.SSLContext:
    """What a server shows that has *certificate*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain = folder / f"{certificate.x509.serial_number}.pem"
    chain.write_bytes(certificate.certificate_pem() + certificate.key_pem())
    context.load_cert_chain(chain)
    return context
