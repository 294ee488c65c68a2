"""``multipart/mixed`` as media come from other servers (SS getContent; RFC 2046)."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

_HEADERS_BYTES_MAX: Final = 16_384
_BOUNDARY: Final = re.compile(
    rb"(?:\r?\n)?--([0-9A-Za-z'()+_,./:=? -]{1,70}?)[ \t]*\r?\n"
)
_BOUNDARY_BYTES_MAX: Final = 80


class MalformedMultipart(ValueError):
    """The bytes are no such message."""


class PartBegins(Struct, frozen=True):
    """The head of the next part; names are in lower case."""

    headers: Mapping[str, str]


class _At(Enum):
    START = 0
    HEADERS = 1
    BODY = 2
    DELIMITER = 3
    END = 4


class MultipartReader:
    """Takes such a message apart as it comes, holding back next to nothing.

    The boundary is read off the first line: so nobody needs the header that names it.
    ``is_complete``: the closing delimiter has come.
    """

    def __init__(self) -> None:
        self._at = _At.START
        self._buffer = b""
        self._delimiter = b""
        self._surplus = 0

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come."""
        return self._at is _At.END

    def feed(self, data: bytes) -> Iterator[PartBegins | bytes]:
        """What the next bytes bring: heads of parts, and pieces of their bodies.

        Raises:
            MalformedMultipart: they do not go on as they began.
        """
        self._buffer += data
        while True:
            at, before = self._at, len(self._buffer)
            found = self._step()
            if found is not None:
                yield found
            if self._at is at and len(self._buffer) == before:
                return

    def _step(self) -> PartBegins | bytes | None:
        match self._at:
            case _At.START:
                self._find_boundary()
            case _At.HEADERS:
                return self._read_headers()
            case _At.BODY:
                return self._read_body()
            case _At.DELIMITER:
                self._read_delimiter()
            case _At.END:
                self._buffer = b""
        return None

    def _find_boundary(self) -> None:
        match = _BOUNDARY.match(self._buffer)
        if match is not None:
            self._delimiter = b"\r\n--" + match[1]
            # The end of the line stays, as that of an empty head would.
            self._buffer = b"\r\n" + self._buffer[match.end() :]
            self._at = _At.HEADERS
        elif len(self._buffer) > _BOUNDARY_BYTES_MAX:
            raise MalformedMultipart("it does not begin with a boundary")

    def _read_headers(self) -> PartBegins | None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if len(head) > _HEADERS_BYTES_MAX:
            raise MalformedMultipart("the head of a part is too long")
        if not end:
            return None
        # COMPAT(some servers): an empty body may be only its delimiter, whose line
        # break ended the head. So it stands before every body, and is no part of it.
        self._buffer, self._at = b"\r\n" + rest, _At.BODY
        self._surplus = 2
        headers: dict[str, str] = {}
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip():
                headers[name.strip().lower()] = value.strip()
        return PartBegins(headers)

    def _read_body(self) -> bytes | None:
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            body = self._without_surplus(self._buffer[:at])
            self._buffer = self._buffer[at + len(self._delimiter) :]
            self._at = _At.DELIMITER
            return body or None
        sure = len(self._buffer) - len(self._delimiter) + 1
        if sure <= 0:
            return None
        body, self._buffer = self._buffer[:sure], self._buffer[sure:]
        return self._without_surplus(body) or None

    def _without_surplus(self, body: bytes) -> bytes:
        surplus, self._surplus = self._surplus, max(self._surplus - len(body), 0)
        return body[surplus:]

    def _read_delimiter(self) -> None:
        if self._buffer.startswith(b"--"):
            self._at = _At.END
        elif b"\n" in self._buffer[:_BOUNDARY_BYTES_MAX]:
            self._buffer = b"\r\n" + self._buffer.partition(b"\n")[2]
            self._at = _At.HEADERS
        elif len(self._buffer) > _BOUNDARY_BYTES_MAX:
            raise MalformedMultipart("a delimiter without its end")


def multipart_frame(
    boundary: str, content_type: str, content_disposition: str
) -> tuple[bytes, bytes]:
    """What stands before and behind the bytes of media: metadata, heads, delimiters."""
    before = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
        f"--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Disposition: {content_disposition}\r\n\r\n"
    )
    return before.encode("latin-1"), f"\r\n--{boundary}--\r\n".encode("ascii")
