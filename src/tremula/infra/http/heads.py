"""Heads of requests and of answers, as they are on the wire of HTTP/1.1."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

RawHeaders = list[tuple[bytes, bytes]]

METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")
}
"""Those that anybody uses, as they come."""

FORWARDED_FOR: Final = b"x-forwarded-for"

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    for status in HTTPStatus
}


def format_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer, but the empty line at its end: more headers may follow."""
    lines = (b"%b: %b\r\n" % header for header in headers)
    return b"".join((_STATUS_LINES[status], *lines))


def add_header(headers: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Add a header of a request. Of one that is repeated the last counts, but of
    ``X-Forwarded-For``, to which each proxy may add a line of its own.
    """
    name = name.lower()
    if name == FORWARDED_FOR and name in headers:
        value = headers[name] + b"," + value
    headers[name] = value
