"""Requests whose heads came before are what a parser makes of them, or unknown."""

import asyncio
from itertools import product
from typing import Final

import httptools
import pytest

from tremula.infra.http.exchange import Exchange
from tremula.infra.http.known_heads import find_known_request
from tremula.infra.http.reading import RequestReader
from tremula.infra.http.websocket import Conversation, WebSocket

_COMMON: Final = "Host: a\r\nAuthorization: Bearer x\r\n"


class _Receiver:
    """Keeps what a `RequestReader` tells, and is the wire of it."""

    def __init__(self) -> None:
        self.peer = "192.0.2.1"
        self.writable: asyncio.Event | None = None
        self.date_line = b""
        self.came: list[Exchange] = []

    def request_begins(self) -> None:
        """See `Receiver`."""

    def request_came(self, exchange: Exchange) -> None:
        """See `Receiver`."""
        self.came.append(exchange)

    def write(self, data: bytes | bytearray) -> None:
        raise NotImplementedError

    def write_both(self, head: bytes, piece: bytes | memoryview) -> None:
        raise NotImplementedError

    def read_on(self) -> None:
        """See `Wire`."""

    def pause_reading(self) -> None:
        """See `Wire`."""

    def abort(self) -> None:
        raise NotImplementedError

    def become_websocket(self, head: bytes, conversation: Conversation) -> WebSocket:
        raise NotImplementedError


def _shape(exchange: Exchange) -> tuple[object, ...]:
    return (
        exchange.method,
        exchange.raw_path,
        exchange.query_string,
        exchange.headers,
        exchange.keeps_alive,
        exchange.receive_whole(),
        exchange.is_body_taken,
    )


def _parsed(data: bytes) -> tuple[object, ...] | None:
    """The request that *data* is, if it is a single one, and whole."""
    receiver = _Receiver()
    reader = RequestReader(receiver)
    try:
        reader.feed(data)
    except (httptools.HttpParserUpgrade, httptools.HttpParserError):
        return None
    if reader.is_in_message or len(receiver.came) != 1:
        return None
    return _shape(receiver.came[0])


def _known(data: bytes) -> tuple[object, ...] | None:
    exchange = find_known_request(_Receiver(), data)
    return None if exchange is None else _shape(exchange)


@pytest.mark.parametrize("line", ["GET /a?b=c%20d&e=", "PUT /a/%40b:c/$d", "HEAD /"])
@pytest.mark.parametrize(
    "lines",
    [
        _COMMON,
        f"Content-Length: 2\r\n{_COMMON}",
        f"{_COMMON}Content-Length: 2\r\nX-Forwarded-For: b\r\nX-Forwarded-For: c\r\n",
        f"{_COMMON}Content-Length: 2\r\n",
        f"Connection: keep-alive\r\nX:  y \r\nx: z\r\n{_COMMON}",
    ],
)
def test_a_common_request_is_known_for_what_it_is(line: str, lines: str) -> None:
    """Also the second time, when its head came before."""
    body = "{}" if "Length" in lines else ""
    data = f"{line} HTTP/1.1\r\n{lines}\r\n{body}".encode()

    known = [_known(data), _known(data)]

    assert known[0] is not None
    assert known == [_parsed(data)] * 2


def test_a_head_is_parsed_once_whatever_the_target_and_the_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else to look whether it came before would cost what parsing does."""
    parsers = 0
    make_parser = httptools.HttpRequestParser

    def counted(protocol: object) -> httptools.HttpRequestParser:
        nonlocal parsers
        parsers += 1
        return make_parser(protocol)

    monkeypatch.setattr(httptools, "HttpRequestParser", counted)
    for number in range(3):
        body = b"x" * 10**number
        head = b"PUT /%d HTTP/1.1\r\nContent-Length: %d\r\nHost: once" % (
            number,
            len(body),
        )
        assert find_known_request(_Receiver(), head + b"\r\n\r\n" + body) is not None

    assert parsers == 1


def test_no_request_is_taken_for_another() -> None:
    """Of all that can be put together of these, some is known, and that is right."""
    methods = ("GET", "POST", "BREW", " GET", "GET ")
    targets = ("/", "/a?b#c", "*", "http://b/c", "/a b", "/\x7f", "/\xe4", "")
    versions = ("HTTP/1.1", "HTTP/1.0", "HTTP/1.1 ", "http/1.1", "")
    headers = (
        "Content-Length: 3",
        "content-length: 3",
        "Content-Length: 03",
        "Content-Length: +3",
        "Content-Length:  3",
        "Content-Length: 3\r\n Content: 4",
        "Content-Length: 3\r\n\t4",
        "Content-Length: 100000",
        "Content-Length: ",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Expect: 100-continue",
        "X: \x00",
        "X: a\nY: b",
        "no header",
        " folded",
        "",
    )
    bodies = ("", "abc", "abcd", "3\r\nabc\r\n0\r\n\r\n")
    known = 0
    for method, target in product(methods, targets):
        _check(f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")
    for version, first, second, body in product(versions, headers, headers, bodies):
        lines = "\r\n".join(line for line in (first, second) if line)
        data = f"POST /a {version}\r\nHost: a\r\n{lines}\r\n\r\n{body}"
        known += _check(data)
    assert known > 0


def _check(text: str) -> bool:
    data = text.encode("latin-1")
    known = _known(data)
    assert known is None or known == _parsed(data), data
    return known is not None


@pytest.mark.parametrize("cut", [1, 20, 40, 63, 64, 66])
def test_what_has_not_come_whole_is_not_known(cut: int) -> None:
    data = b"POST /a HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n\r\nabc"
    assert find_known_request(_Receiver(), data[: min(cut, len(data) - 1)]) is None
    assert find_known_request(_Receiver(), data + b"GET") is None
