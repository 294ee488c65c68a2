"""Requests as they come over a connection, whatever they are like."""

from typing import Final, Protocol

import httptools

from tremula.infra.http.exchange import Exchange, Wire
from tremula.infra.http.heads import METHODS, add_header

# A body whose length has so many digits is more than is read at once.
_LONG_LENGTH_DIGITS: Final = 6


class Receiver(Wire, Protocol):
    """Who is told of requests."""

    def request_begins(self) -> None:
        """Some of a request is there."""
        ...

    def request_came(self, exchange: Exchange) -> None:
        """The head is there; of the body the exchange is told."""
        ...


class RequestReader:
    """Cuts what comes over one connection into requests, with httptools.

    ``unheeded_bytes`` came in a row around the pieces of a body without being of them.
    """

    __slots__ = (
        "_headers",
        "_left_bytes",
        "_parser",
        "_receiver",
        "_receiving",
        "_target",
        "is_in_message",
        "unheeded_bytes",
    )

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser: httptools.HttpRequestParser | None = _parser_for(self)
        # Of a long body: how much of it is still to come, and goes past the parser.
        self._left_bytes = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        # The newest request.
        self._receiving: Exchange | None = None
        self.is_in_message = False
        self.unheeded_bytes = 0

    def feed(self, data: bytes) -> None:
        """Tell what is in *data*.

        Raises:
            httptools.HttpParserUpgrade: all is told, but that one wants to speak
                something else.
            httptools.HttpParserError: that is not HTTP.
        """
        if self._left_bytes > 0:
            data = self._take_body(data)
        if not data:
            return
        assert self._parser is not None
        self.unheeded_bytes += len(data)
        self._parser.feed_data(data)

    def end(self) -> None:
        """The client is gone."""
        # They know each other.
        self._parser = None
        if self._receiving is not None:
            self._receiving.lose()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self.is_in_message = True
        self._receiver.request_begins()
        self._target = b""
        # There may be those of a trailer.
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        """Some of the request's target, or all of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; or one of a trailer, at which nobody looks: proxies that write
        their own headers let it pass.
        """
        add_header(self._headers, name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        parser = self._parser
        assert parser is not None
        # A trailer's are none of the request's.
        headers, self._headers = self._headers, {}
        length = headers.get(b"content-length", b"")
        self._left_bytes = int(length) if len(length) >= _LONG_LENGTH_DIGITS else 0
        method = parser.get_method()
        exchange = self._receiving = Exchange(
            self._receiver,
            METHODS.get(method) or method.decode("ascii"),
            _split(self._target),
            headers,
            # HTTP/1.0 does not by itself, and is not told so if it asks to.
            keeps_alive=parser.should_keep_alive()
            and (b"connection" not in headers or parser.get_http_version() != "1.0"),
        )
        self._receiver.request_came(exchange)

    def on_body(self, piece: bytes) -> None:
        """Some of the body."""
        assert self._receiving is not None
        self.unheeded_bytes = 0
        self._left_bytes -= len(piece)
        if not self._receiving.is_answered:
            self._receiving.take(piece)

    def on_message_complete(self) -> None:
        """The body is there."""
        self.is_in_message = False
        self.unheeded_bytes = 0
        assert self._receiving is not None
        self._receiving.end_body()

    def _take_body(self, data: bytes) -> bytes:
        """Take what of *data* is of a long body, and return what is behind it: the
        parser would only copy it. It never learns of the end; another one follows.
        """
        left = self._left_bytes
        self.on_body(data[:left])
        if self._left_bytes == 0:
            self._parser = _parser_for(self)
            self.on_message_complete()
        return data[left:]


def _parser_for(reader: RequestReader) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(reader)
    # Else what follows a request that closes the connection would undo it.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _split(target: bytes) -> tuple[bytes, bytes]:
    """The path and the query string."""
    path, _, query_string = target.partition(b"?")
    if not path.startswith(b"/"):
        # As it is written to proxies: with the scheme, and the host.
        url = httptools.parse_url(target)
        return url.path or b"/", url.query or b""
    return path, query_string
