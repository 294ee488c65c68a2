"""Requests with heads that came before.

What a client sends before a body is mostly what it sent the last time, but for the
first line and the length. To find that out costs a third of what a parser takes, with
its calls for each header.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import httptools

from tremula.infra.http.exchange import Exchange, Wire
from tremula.infra.http.heads import METHODS, add_header

_LINES_BYTES_MAX: Final = 2_048
_LENGTH_DIGITS_MAX: Final = 5
_LENGTH: Final = b"\r\nContent-Length: "
# What targets consist of that nobody reads otherwise than another.
_PLAIN: Final = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/?&=%._~-+:@!$,*"
)
# With these a request is more than its head and so many bytes.
_PECULIAR: Final = frozenset(
    (b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"trailer")
)


def find_known_request(wire: Wire, data: bytes) -> Exchange | None:
    """The request that *data* is, if it is a single one, whole, and quite ordinary.

    None says nothing of it: then `RequestReader` is to find out what there is.
    """
    head, has_end, body = data.partition(b"\r\n\r\n")
    name, _, rest = head.partition(b" ")
    target, _, lines = rest.partition(b" ")
    method = METHODS.get(name)
    if not has_end or method is None or len(lines) > _LINES_BYTES_MAX:
        return None
    if target[:1] != b"/" or target.translate(None, _PLAIN):
        return None
    digits = b"0"
    lines, has_length, after = lines.partition(_LENGTH)
    if has_length:
        digits, end_of_line, others = after.partition(b"\r\n")
        lines = b"".join((lines, end_of_line, others))
        if len(digits) > _LENGTH_DIGITS_MAX or not digits.isdigit():
            return None
    headers = _headers_of(lines) if int(digits) == len(body) else None
    if headers is None:
        return None
    if has_length:
        headers = {**headers, b"content-length": digits}
    path, _, query_string = target.partition(b"?")
    exchange = Exchange(wire, method, (path, query_string), headers)
    if body:
        exchange.take(body)
    exchange.end_body()
    return exchange


class _Head:
    """A head, as the parser tells it."""

    __slots__ = ("headers", "is_whole", "keeps_alive", "parser")

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.headers: dict[bytes, bytes] = {}
        self.keeps_alive = False
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        add_header(self.headers, name, value)

    def on_headers_complete(self) -> None:
        """That was the last one."""
        self.keeps_alive = self.parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """There is no body."""
        self.is_whole = True


# With its headers, one takes up to 4 KB, and mostly a quarter of that.
@lru_cache(maxsize=2_048)
def _headers_of(lines: bytes) -> Mapping[bytes, bytes] | None:
    """The headers of a head of *lines*, which begin with the version and have none for
    the length; None if they are not of the common kind, or wrong.
    """
    head = _Head()
    parser = head.parser
    try:
        parser.feed_data(b"GET / %b\r\n\r\n" % lines)
    except (httptools.HttpParserUpgrade, httptools.HttpParserError):
        return None
    finally:
        # They know each other.
        del head.parser
    is_common = (
        head.is_whole
        and head.keeps_alive
        and parser.get_http_version() == "1.1"
        and _PECULIAR.isdisjoint(head.headers)
        # A line may have been the rest of the one for the length.
        and lines.find(b"\n ") < 0
        and lines.find(b"\n\t") < 0
    )
    return head.headers if is_common else None
