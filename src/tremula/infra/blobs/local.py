"""Blobs as files in a folder.

Written by hand and not by way of obstore: this one fsyncs, reads most blobs in one go,
and costs a small server no second runtime.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tremula.infra.blobs.spool import Disk, move
from tremula.infra.blobs.store import CHUNK_BYTES, KEY, BlobMissing, Place, SpooledFile


class LocalBlobs:
    """Implements `BlobStore`. The folder may be one that several machines share."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    def place(self, key: str) -> Place:
        """A file, in the same file system as those of the spool."""
        return Place(key, self._file_name(key))

    async def put(self, key: str, file: SpooledFile) -> None:
        """Move *file* to its place, unless it is there."""
        if not file.is_at(key):
            await self._disk.run(move, file.path, self._file_name(key))
        file.is_moved = True

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes]:
        """Read in pieces, each in a thread. A client that is slow, or goes, holds no
        descriptor.
        """
        path = self._file_name(key)
        end = start + length
        while start < end:
            piece = await self._disk.run(
                _read, path, start, min(CHUNK_BYTES, end - start)
            )
            if not piece:
                raise BlobMissing(f"{key} is shorter than it should be")
            start += len(piece)
            yield piece

    @asynccontextmanager
    async def as_file(self, key: str) -> AsyncIterator[Path]:
        """The file itself."""
        path = self._path(key)
        if not await self._disk.run(path.is_file):
            raise BlobMissing(f"there is no {path}")
        yield path

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these files, as far as they are there."""
        await self._disk.run(_delete, [self._path(key) for key in keys])

    async def close(self) -> None:
        """Nothing is open."""

    def _path(self, key: str) -> Path:
        return Path(self._file_name(key))

    def _file_name(self, key: str) -> str:
        assert KEY.fullmatch(key), f"not a key: {key!r}"
        return f"{self._folder}/{key[:2]}/{key}"


def _read(path: str, start: int, length: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise BlobMissing(f"there is no {path}") from error
    try:
        return os.pread(descriptor, length, start)
    finally:
        os.close(descriptor)


def _delete(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
