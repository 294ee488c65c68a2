"""What reaches the socket of an answer, and in how many pieces."""

import asyncio

import pytest

from tremula.infra.http.exchange import BUFFERED_BYTES_MAX, Exchange

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"4")],
}
HEAD = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 4\r\n\r\n"


class Written:
    """A wire, and what went over it."""

    date_line = b"date: now\r\n"

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_reading = True
        self.writable: asyncio.Event | None = None

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def read_on(self) -> None:
        self.is_reading = True

    def pause_reading(self) -> None:
        self.is_reading = False


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def exchange(written: Written) -> Exchange:
    scope = {"method": "GET"}
    return Exchange(written, scope, keeps_alive=True, expects_continue=False)


async def test_a_head_goes_with_its_body(written: Written, exchange: Exchange) -> None:
    await exchange.send(START)
    assert written.pieces == []
    await exchange.send({"body": b"ab", "more_body": True})
    await exchange.send({"body": b"cd"})

    assert written.pieces == [HEAD + b"ab", b"cd"]
    assert exchange.is_answered


@pytest.mark.parametrize("body", [b"abc", b"abcde"])
async def test_a_body_is_as_long_as_its_head_says(
    exchange: Exchange, body: bytes
) -> None:
    await exchange.send(START)

    with pytest.raises(RuntimeError):
        await exchange.send({"body": body})
    assert not exchange.is_answered


async def test_no_more_is_read_than_is_taken(
    written: Written, exchange: Exchange
) -> None:
    piece = b"x" * BUFFERED_BYTES_MAX
    exchange.take(piece)
    assert written.is_reading
    exchange.take(b"y")
    assert not written.is_reading

    taken = await exchange.receive()

    assert taken == {"type": "http.request", "body": piece + b"y", "more_body": True}
    assert written.is_reading


async def test_what_is_lost_is_not_answered(
    written: Written, exchange: Exchange
) -> None:
    exchange.lose()

    assert await exchange.receive() == {"type": "http.disconnect"}
    await exchange.send(START)
    assert written.pieces == []
