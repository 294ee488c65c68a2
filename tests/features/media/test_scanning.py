"""The operator's own look at a file: programs and services, over HTTP."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.features.media.files import UPLOAD, stored_files, upload
from tests.server import UserClient
from tremula.features.media.scanning import scanner
from tremula.infra.config import Media
from tremula.protocol.errors import Forbidden, Unknown

REFUSES = (sys.executable, "-c", "print('Eicar'); raise SystemExit(1)")
FAILS = (sys.executable, "-c", "raise SystemExit(2)")
TAKES_ANY = (sys.executable, "-c", "import sys; open(sys.argv[1], 'rb').read()")
CONTENT = b"bytes" * 100_000
# Nobody listens there.
UNREACHABLE = "http://127.0.0.1:1/scan"


@dataclass(slots=True)
class Service:
    """A scanner that answers with a fixed status, and what it was sent."""

    url: str = ""
    status: int = 200
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    async with await asyncio.start_server(service.answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        service.url = f"http://127.0.0.1:{port}/scan?strict=1"
        yield service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("media", [Media(scan_command=REFUSES)])
async def test_what_the_scanner_refuses_is_not_kept(
    alice: UserClient, tmp_path: Path
) -> None:
    response = await alice.request("POST", UPLOAD, body=b"virus")

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
    assert not stored_files(tmp_path)


@pytest.mark.parametrize(
    "media",
    [
        Media(scan_command=FAILS),
        Media(scan_command=("/nowhere/scan",)),
        Media(scan_url=UNREACHABLE),
        Media(scan_command=TAKES_ANY, scan_url=UNREACHABLE),
    ],
)
async def test_nothing_is_kept_while_the_scanner_fails(
    alice: UserClient, tmp_path: Path
) -> None:
    response = await alice.request("POST", UPLOAD, body=b"x")

    assert response.status == 503
    assert not stored_files(tmp_path)


@pytest.mark.parametrize("media", [Media(scan_command=TAKES_ANY)])
async def test_what_the_scanner_takes_is_kept(alice: UserClient) -> None:
    assert await upload(alice, b"x")


async def test_a_service_is_sent_all_bytes(service: Service, file: Path) -> None:
    await scanner(Media(scan_url=service.url)).check(str(file))

    assert service.heads[0].startswith(b"POST /scan?strict=1 HTTP/1.1\r\n")
    assert service.bodies == [CONTENT]


async def test_a_service_may_refuse(service: Service, file: Path) -> None:
    service.status = 422

    with pytest.raises(Forbidden):
        await scanner(Media(scan_url=service.url)).check(str(file))


@pytest.mark.parametrize("status", [302, 500, 503])
async def test_a_service_that_cannot_say_lets_nothing_in(
    service: Service, file: Path, status: int
) -> None:
    service.status = status

    with pytest.raises(Unknown) as refusal:
        await scanner(Media(scan_url=service.url)).check(str(file))

    assert refusal.value.http_status == 503


async def test_a_url_that_is_none_lets_nothing_in(file: Path) -> None:
    with pytest.raises(Unknown):
        await scanner(Media(scan_url="http://localhost:port/")).check(str(file))


async def test_both_are_asked(service: Service, file: Path) -> None:
    service.status = 403
    both = Media(scan_command=TAKES_ANY, scan_url=service.url)

    with pytest.raises(Forbidden):
        await scanner(both).check(str(file))
