"""What reaches the socket of an answer, and in how many pieces."""

import asyncio

import pytest

from tests.fakes.wire import FakeWire
from tremula.infra.http.errors import HungUpError
from tremula.infra.http.exchange import BUFFERED_BYTES_MAX, Exchange

START = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n"
HEAD = START + b"date: now\r\n\r\n"


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture
def exchange(wire: FakeWire) -> Exchange:
    return Exchange(wire, "GET", (b"/", b""), {})


async def test_an_answer_is_one_piece(wire: FakeWire, exchange: Exchange) -> None:
    await exchange.answer(START, b"abcd")

    assert wire.pieces == [HEAD + b"abcd"]
    assert exchange.is_answered


async def test_who_asks_for_the_head_is_sent_no_body(wire: FakeWire) -> None:
    await Exchange(wire, "HEAD", (b"/", b""), {}).answer(START, b"abcd")

    assert wire.pieces == [HEAD]


async def test_a_connection_that_ends_is_said_to(wire: FakeWire) -> None:
    exchange = Exchange(wire, "GET", (b"/", b""), {}, keeps_alive=False)

    await exchange.answer(START, b"abcd")

    assert wire.pieces == [START + b"date: now\r\nconnection: close\r\n\r\nabcd"]


async def test_who_is_slow_is_waited_for(wire: FakeWire, exchange: Exchange) -> None:
    wire.writable = asyncio.Event()
    answering = asyncio.ensure_future(exchange.answer(START, b"abcd"))
    await asyncio.sleep(0)
    assert wire.pieces == []

    wire.writable.set()
    await answering

    assert wire.pieces == [HEAD + b"abcd"]


async def test_a_head_goes_with_the_first_piece(
    wire: FakeWire, exchange: Exchange
) -> None:
    exchange.begin(START, 4)
    assert wire.pieces == []
    await exchange.send(b"ab")
    await exchange.send(b"cd")
    assert not exchange.is_answered
    await exchange.send(b"")

    assert wire.pieces[:2] == [HEAD + b"ab", b"cd"]
    assert exchange.is_answered


@pytest.mark.parametrize("pieces", [(b"abc", b""), (b"abc", b"de")])
async def test_a_body_is_as_long_as_its_head_says(
    exchange: Exchange, pieces: tuple[bytes, bytes]
) -> None:
    exchange.begin(START, 4)
    await exchange.send(pieces[0])

    with pytest.raises(RuntimeError):
        await exchange.send(pieces[1])
    assert not exchange.is_answered


async def test_a_large_piece_is_not_copied(wire: FakeWire, exchange: Exchange) -> None:
    piece = b"x" * 1_000_000
    exchange.begin(START, len(piece))
    await exchange.send(piece)

    assert wire.pieces == [HEAD, piece]
    assert wire.pieces[1] is piece
    assert wire.calls == 1


async def test_no_piece_is_asked_for_while_the_client_is_slow(
    wire: FakeWire, exchange: Exchange
) -> None:
    exchange.begin(START, 4)
    wire.writable = asyncio.Event()
    sending = asyncio.ensure_future(exchange.send(b"ab"))
    await asyncio.sleep(0)
    assert wire.pieces == [HEAD + b"ab"]
    assert not sending.done()

    wire.writable.set()
    await sending


async def test_no_more_is_read_than_is_taken(
    wire: FakeWire, exchange: Exchange
) -> None:
    piece = b"x" * BUFFERED_BYTES_MAX
    exchange.take(piece)
    assert wire.is_reading
    exchange.take(b"y")
    assert not wire.is_reading

    taken = await exchange.receive()

    assert taken == piece + b"y"
    assert not exchange.is_body_taken
    assert wire.is_reading


async def test_who_wants_much_is_woken_once(wire: FakeWire, exchange: Exchange) -> None:
    """And is given what came as it came."""
    piece = b"x" * BUFFERED_BYTES_MAX
    receiving = asyncio.ensure_future(exchange.receive_pieces(2 * len(piece)))
    await asyncio.sleep(0)
    exchange.take(piece)
    await asyncio.sleep(0)
    assert not receiving.done()
    assert wire.is_reading

    exchange.take(piece)

    taken = await receiving
    assert [each is piece for each in taken] == [True, True]
    assert wire.is_reading


async def test_no_more_is_read_than_is_wanted(
    wire: FakeWire, exchange: Exchange
) -> None:
    piece = b"x" * BUFFERED_BYTES_MAX
    receiving = asyncio.ensure_future(exchange.receive_pieces(len(piece) + 1))
    await asyncio.sleep(0)
    exchange.take(piece)
    assert wire.is_reading
    exchange.take(piece)
    assert not wire.is_reading

    await receiving

    assert wire.is_reading


async def test_of_a_body_that_ends_early_all_is_given(exchange: Exchange) -> None:
    receiving = asyncio.ensure_future(exchange.receive_pieces(1_000_000))
    await asyncio.sleep(0)

    exchange.take(b"x")
    exchange.end_body()

    assert await receiving == [b"x"]
    assert exchange.is_body_taken


async def test_what_is_lost_is_not_answered(wire: FakeWire, exchange: Exchange) -> None:
    exchange.lose()

    with pytest.raises(HungUpError):
        await exchange.receive()
    await exchange.answer(START, b"abcd")
    assert wire.pieces == []


async def test_the_end_of_a_streamed_body_is_no_write(
    wire: FakeWire, exchange: Exchange
) -> None:
    exchange.begin(START, 4)
    await exchange.send(b"abcd")

    await exchange.send(b"")

    assert wire.pieces == [HEAD + b"abcd"]
    assert exchange.is_answered


async def test_who_takes_nothing_is_not_waited_for_for_ever(
    wire: FakeWire, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tremula.infra.http.exchange._PIECE_S", 0)
    wire.writable = asyncio.Event()
    exchange.begin(START, 4)

    with pytest.raises(TimeoutError):
        await exchange.send(b"ab")
