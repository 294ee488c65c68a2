"""Unpacks answers (``Content-Encoding``) within bounds: a small one may hold gigabytes.

Not left to aiohttp, which gives all that a piece holds at once.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

from tremula.infra.outbound.errors import AnswerTooLarge, RequestFailed

ACCEPTED: Final = "gzip"
"""What is asked for. ``deflate`` is understood, too, but two formats have that name."""

_NOT_PACKED: Final = frozenset({"", "identity"})
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_DEFLATE: Final = "deflate"
_PIECE_BYTES: Final = 64 * 1024


async def unpacked(
    chunks: AsyncIterator[bytes], encoding: str, *, bytes_max: int
) -> AsyncIterator[bytes]:
    """What *chunks* hold, which are packed as *encoding* says.

    Raises:
        AnswerTooLarge: it is more than *bytes_max*.
        RequestFailed: *encoding* is not known, or *chunks* are not packed like that.
    """
    name = encoding.strip().lower()
    if name in _NOT_PACKED:
        async for chunk in chunks:
            yield chunk
        return
    if name not in {*_GZIP, _DEFLATE}:
        raise RequestFailed(f"an answer packed as {name[:30]!r}")
    unpacker: _Unpacker | None = None
    size_bytes = 0
    async for chunk in chunks:
        unpacker = unpacker or _Unpacker(name, chunk)
        for piece in unpacker.pieces(chunk):
            size_bytes += len(piece)
            if size_bytes > bytes_max:
                raise AnswerTooLarge(f"an answer of more than {bytes_max} bytes")
            yield piece
            # A chunk may hold a thousand pieces: others have their turn in between.
            await asyncio.sleep(0)
    if unpacker is not None and not unpacker.is_at_end:
        raise RequestFailed("a packed answer without its end")


class _Unpacker:
    """zlib, which gives no more than a piece at once."""

    def __init__(self, name: str, start: bytes) -> None:
        bits = zlib.MAX_WBITS
        if name in _GZIP:
            bits += 16
        elif start[0] & 0x0F != zlib.DEFLATED:
            # COMPAT(many servers): without the header that RFC 9110 wants.
            bits = -bits
        self._zlib = zlib.decompressobj(bits)

    @property
    def is_at_end(self) -> bool:
        """Whether the whole of it was unpacked."""
        return self._zlib.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What can be unpacked with one more chunk."""
        try:
            while piece := self._zlib.decompress(chunk, _PIECE_BYTES):
                yield piece
                chunk = self._zlib.unconsumed_tail
        except zlib.error as error:
            raise RequestFailed("an answer that cannot be unpacked") from error
        if self._zlib.unused_data:
            raise RequestFailed("an answer that goes on after its packed end")
