"""Heads of requests and of answers, as they are on the wire of HTTP/1.1."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

RawHeaders = list[tuple[bytes, bytes]]

FORWARDED_FOR: Final = b"x-forwarded-for"

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    for status in HTTPStatus
}


def format_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer, but the empty line at its end: more headers may follow."""
    lines = (b"%b: %b\r\n" % header for header in headers)
    return b"".join((_STATUS_LINES[status], *lines))
