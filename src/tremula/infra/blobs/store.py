"""`BlobStore`: what every place for blobs can do."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

KEY: Final = re.compile(r"[0-9A-Za-z_-]{1,200}")
"""Keys are names that are safe everywhere: no separators, no dots."""

CHUNK_BYTES: Final = 1_048_576
"""How much of a blob is in memory for whoever reads it: all of it, for most."""


Piece = bytes | memoryview
"""Some of a blob: it is the reader's until that asks for the next one."""


class BlobError(Exception):
    """A blob can't be had, or not be stored; the message says why, on one line."""


class BlobMissing(BlobError):
    """There is nothing under the key."""


class Place(Struct, frozen=True):
    """Where a blob is to be: under ``object_key``, which is the file at ``path`` if the
    store is a folder.
    """

    object_key: str
    path: str | None


class SpooledFile(Struct):
    """A complete, fsynced file, and the SHA-256 of what is in it, in hexadecimal.

    Who moves it away says so (``is_moved``). If ``place`` has a path, it is there.
    """

    path: str
    sha256: str
    size_bytes: int
    place: Place | None = None
    is_moved: bool = False

    def is_at(self, key: str) -> bool:
        """Whether it is in the place of *key* already."""
        place = self.place
        return place is not None and place.path is not None and place.object_key == key


class BlobStore(Protocol):
    """Keeps blobs. All methods raise `BlobError` if the store can't be used."""

    def place(self, key: str) -> Place:
        """Where the blob *key* is to be."""
        ...

    async def prepare(self, keys: Sequence[str]) -> None:
        """Get ready to store blobs under *keys*: for many that takes less than one by
        one. They begin alike, see `ObjectKeys`.
        """
        ...

    async def put(self, key: str, file: SpooledFile) -> None:
        """Store what is in *file*, which may be moved away, or be in its place already.

        The blob is there as a whole and durable when this returns, or not at all. To
        store the same bytes under the same key again does no harm.
        """
        ...

    def read(self, key: str, start: int, length: int) -> AsyncGenerator[Piece]:
        """*length* bytes from *start* on, in pieces of at most `CHUNK_BYTES`; see
        `Piece` for how long those last.

        Raises:
            BlobMissing: there are fewer, or none.
        """
        ...

    def as_file(self, key: str) -> AbstractAsyncContextManager[Path]:
        """The blob as a file of this machine, which must not be changed.

        Raises:
            BlobMissing: there is none.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these blobs, as far as they are there."""
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...
