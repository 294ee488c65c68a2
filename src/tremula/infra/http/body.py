"""Reading request bodies, within bounds of size. Their pace is the transport's task."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from tremula.infra.http.errors import HungUpError
from tremula.infra.http.exchange import Exchange
from tremula.protocol.errors import NotJson, TooLarge

# Who is still sending when the connection closes may never see the answer, so a
# little more than allowed is read, and thrown away.
SURPLUS_BYTES_MAX = 262_144

_AT_ONCE_BYTES: Final = 1_048_576


class RequestBody:
    """The body of one request, which is read at most once."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def is_finished(self) -> bool:
        """Whether nothing more of it is to come."""
        return self._exchange.is_body_taken or self._declared == 0

    @property
    def declared_bytes(self) -> int:
        """The length that the head announces; 0 if it announces none."""
        return self._declared or 0

    @property
    def _declared(self) -> int | None:
        """None if the body is chunked. The parser has refused anything but digits."""
        headers = self._exchange.headers
        if b"transfer-encoding" in headers:
            return None
        return int(headers.get(b"content-length", 0))

    def read_at_once(self, bytes_max: int) -> bytes:
        """The whole body, if it has come with its head, as most do; else nothing, and
        `read` has to be asked.

        Raises what `read` does.
        """
        body = self._exchange.receive_whole()
        if body:
            self._check_encoding()
            if len(body) > bytes_max:
                raise _too_large(bytes_max)
        return body

    async def read(self, bytes_max: int) -> bytes:
        """The whole body.

        Raises:
            TooLarge: it is longer than *bytes_max*.
            NotJson: it is compressed, which could make it any length.
            HungUpError: the client is gone.
        """
        if self.is_finished:
            return b""
        self._check_head(bytes_max)
        body = await self._exchange.receive()
        if self.is_finished and len(body) <= bytes_max:
            return body
        chunks, size = [body], len(body)
        while not self.is_finished and size <= bytes_max:
            chunk = await self._exchange.receive()
            chunks.append(chunk)
            size += len(chunk)
        if size > bytes_max:
            raise _too_large(bytes_max)
        return b"".join(chunks)

    async def chunks(self, bytes_max: int) -> AsyncIterator[bytes]:
        """The body in pieces, by the megabyte; little more is read meanwhile.

        Raises what `read` does.
        """
        if not self.is_finished:
            self._check_head(bytes_max)
        size = 0
        while not self.is_finished:
            for piece in await self._exchange.receive_pieces(_AT_ONCE_BYTES):
                size += len(piece)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                yield piece

    async def discard(self) -> None:
        """Read what is left, if that is little."""
        if b"expect" in self._exchange.headers:
            return  # The client waits to be told whether to send it.
        size = 0
        # Gone is as good as too much: `is_finished` stays False.
        with suppress(HungUpError):
            while not self.is_finished and size <= SURPLUS_BYTES_MAX:
                size += len(await self._exchange.receive())

    def _check_head(self, bytes_max: int) -> None:
        self._check_encoding()
        declared = self._declared
        if declared is not None and declared > bytes_max:
            raise _too_large(bytes_max)

    def _check_encoding(self) -> None:
        encoding = self._exchange.headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            raise NotJson("the request body must not be compressed", status=415)


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"the request body is longer than {bytes_max} bytes")
