"""Packed answers: what is in them, and how much of it at most."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.remote import always, http_answer, running_remote
from tremula.infra.outbound.endpoint import Endpoint, Limits, OutboundRequest
from tremula.infra.outbound.errors import AnswerTooLarge, RequestFailed
from tremula.infra.outbound.http import OutboundHttp
from tremula.infra.outbound.unpacking import unpacked

LIMITS: Final = Limits(bytes_max=1_000_000, timeout_s=10)
# More than a piece, and of which a piece is no whole part.
BODY: Final = bytes(range(251)) * 1000
EMPTY_BLOCK: Final = b"\x00\x00\x00\xff\xff"


def without_header(body: bytes) -> bytes:
    return zlib.compress(body)[2:-4]


async def fetch(
    http: OutboundHttp, folder: Path, body: bytes, encoding: str
) -> tuple[int, bytes]:
    """The answer to a request when *body* is sent as so encoded."""
    answer = http_answer(200, body, f"Content-Encoding: {encoding}")
    async with running_remote(["remote.test"], always(answer), folder) as remote:
        endpoint = Endpoint(
            host="remote.test",
            port=remote.port,
            tls_name="remote.test",
            host_header="remote.test",
        )
        response = await http.request(endpoint, OutboundRequest("GET", "/"), LIMITS)
    return response.status, response.body


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", without_header(BODY)),
        ("identity", BODY),
        ("", BODY),
    ],
)
async def test_a_packed_answer_is_unpacked(
    http: OutboundHttp, tmp_path: Path, encoding: str, packed: bytes
) -> None:
    assert await fetch(http, tmp_path, packed, encoding) == (200, BODY)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_an_empty_answer_needs_no_unpacking(
    http: OutboundHttp, tmp_path: Path, encoding: str
) -> None:
    """As those have that say nothing but their status."""
    assert await fetch(http, tmp_path, b"", encoding) == (200, b"")


async def test_an_answer_of_just_the_most_bytes_is_unpacked(
    http: OutboundHttp, tmp_path: Path
) -> None:
    packed = gzip.compress(b"a" * LIMITS.bytes_max)

    _, body = await fetch(http, tmp_path, packed, "gzip")

    assert len(body) == LIMITS.bytes_max


@pytest.mark.parametrize("size", [LIMITS.bytes_max + 1, 100 * LIMITS.bytes_max])
async def test_a_decompression_bomb_ends_at_the_bound(
    http: OutboundHttp, tmp_path: Path, size: int
) -> None:
    with pytest.raises(AnswerTooLarge):
        await fetch(http, tmp_path, gzip.compress(b"a" * size), "gzip")


async def in_one_chunk(packed: bytes) -> AsyncIterator[bytes]:
    yield packed


async def test_others_have_their_turn_while_much_is_unpacked() -> None:
    """A few kilobytes are enough for what takes seconds."""
    turns = 0
    is_done = asyncio.Event()

    async def count_turns() -> None:
        nonlocal turns
        while not is_done.is_set():
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(count_turns())
        packed = in_one_chunk(gzip.compress(b"a" * 10**7))
        pieces = [each async for each in unpacked(packed, "gzip", bytes_max=10**7)]
        is_done.set()

    assert b"".join(pieces) == b"a" * 10**7
    assert turns >= len(pieces) > 100


BROKEN: Final = {
    "not packed": ("gzip", b'{"a": 1}', RequestFailed),
    "of the other kind": ("gzip", zlib.compress(BODY), RequestFailed),
    "not deflated": ("deflate", b"\xff" * 100, RequestFailed),
    "without its end": ("gzip", gzip.compress(BODY)[:-9], RequestFailed),
    "with a wrong checksum": (
        "gzip",
        gzip.compress(BODY)[:-8] + b"x" * 8,
        RequestFailed,
    ),
    "with more behind": ("gzip", gzip.compress(BODY) + b"more", RequestFailed),
    "packed twice": ("gzip, gzip", gzip.compress(gzip.compress(BODY)), RequestFailed),
    "of an unknown kind": ("br", b"\x0b\x02\x80hello\x03", RequestFailed),
    "of many pieces of nothing": ("deflate", EMPTY_BLOCK * 200_001, AnswerTooLarge),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_is_packed_badly_fails(
    http: OutboundHttp, tmp_path: Path, name: str
) -> None:
    encoding, packed, error = BROKEN[name]

    with pytest.raises(error):
        await fetch(http, tmp_path, packed, encoding)
