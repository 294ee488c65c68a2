"""Files over sockets: a crash amid an upload, and a file that no memory holds."""

import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.crash.person import Person, register
from tests.homeserver import Homeserver

PIECE: Final = bytes(range(256)) * 4096
GIGABYTE_PIECES: Final = 1024
MEMORY_BYTES_MAX: Final = 48 * 1024 * 1024
"""By how much memory may grow with a file of any size."""

HOURS: Final = ClientTimeout(total=240)


async def upload(person: Person, body: bytes | AsyncIterator[bytes]) -> str:
    """Upload *body*; where it can be downloaded."""
    async with person.session.post(
        f"{person.url}/_matrix/media/v3/upload",
        data=body,
        headers={"Authorization": f"Bearer {person.token}"},
        timeout=HOURS,
    ) as response:
        assert response.status == HTTPStatus.OK, await response.text()
        uri: str = (await response.json())["content_uri"]
    return f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"


async def download(person: Person, path: str) -> tuple[int, str]:
    """How long it is, and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    async with person.session.get(
        person.url + path,
        headers={"Authorization": f"Bearer {person.token}"},
        timeout=HOURS,
    ) as response:
        assert response.status == HTTPStatus.OK
        async for chunk in response.content.iter_chunked(1_000_000):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def files(folder: Path) -> list[Path]:
    """What lies in the store, complete or not, but for files made beforehand."""
    return [
        path
        for path in (folder / "media").rglob("*")
        if path.is_file()
        and path.stat().st_size > 0
        and not path.name.startswith("mark-")
    ]


async def test_a_crash_amid_an_upload_leaves_nothing_that_is_served(
    homeserver: Homeserver, session: ClientSession
) -> None:
    person = await register(session, homeserver.url, "alice")
    kept = await upload(person, PIECE)

    async def broken_off() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield PIECE[::-1]
        await homeserver.kill()
        yield PIECE

    with pytest.raises(ClientError):
        await upload(person, broken_off())
    await homeserver.start()

    assert await download(person, kept) == (
        len(PIECE),
        hashlib.sha256(PIECE).hexdigest(),
    )
    complete = [
        path for path in files(homeserver.folder) if path.parent.name != "incoming"
    ]
    assert len(complete) == 1


@pytest.mark.large
async def test_a_gigabyte_takes_no_more_memory_than_a_megabyte(
    homeserver: Homeserver, session: ClientSession
) -> None:
    person = await register(session, homeserver.url, "alice")
    await download(person, await upload(person, PIECE))
    before_bytes = homeserver.peak_memory_bytes
    digest = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(GIGABYTE_PIECES):
            piece = number.to_bytes(4, "big") + PIECE[4:]
            digest.update(piece)
            yield piece

    path = await upload(person, pieces())
    size, sha256 = await download(person, path)

    assert size == GIGABYTE_PIECES * len(PIECE)
    assert sha256 == digest.hexdigest()
    assert homeserver.peak_memory_bytes - before_bytes < MEMORY_BYTES_MAX
