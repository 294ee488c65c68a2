"""Blobs as files in a folder.

Written by hand and not by way of obstore: this one fsyncs, reads most blobs in one go,
and costs a small server no second runtime.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tremula.infra.blobs.spool import Disk, move, prepare_files
from tremula.infra.blobs.store import (
    CHUNK_BYTES,
    KEY,
    BlobMissing,
    Piece,
    Place,
    SpooledFile,
)
from tremula.infra.blobs.warm_files import WarmFiles


class LocalBlobs:
    """Implements `BlobStore`. The folder may be one that several machines share."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._warm = WarmFiles()

    def place(self, key: str) -> Place:
        """A file, in the same file system as those of the spool."""
        return Place(key, self._file_name(key))

    async def prepare(self, keys: Sequence[str]) -> None:
        """Make their files, still empty: then storing makes no folder durable."""
        await self._disk.run(prepare_files, [self._file_name(key) for key in keys])

    async def put(self, key: str, file: SpooledFile) -> None:
        """Move *file* to its place, unless it is there."""
        path = self._file_name(key)
        if not file.is_at(key):
            await self._disk.run(move, file.path, path)
        file.is_moved = True
        self._warm.note(path)

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[Piece]:
        """Read in pieces. A client that is slow, or goes, holds no descriptor.

        One piece that is in memory, as is what many ask for, is read at once: to have a
        thread do it takes a third of the time that a megabyte takes from the request to
        the socket. Of several, others' requests have their turn between any two.
        """
        path = self._file_name(key)
        if 0 < length <= CHUNK_BYTES:
            in_memory = self._warm.read(path, start, length)
            if in_memory is not None:
                self._warm.note(path)
                yield in_memory
                # Not by who goes amid it: it may be on its way to a socket yet.
                self._warm.give_back(in_memory)
                return
        end = start + length
        while start < end:
            piece = await self._disk.run(
                _read, path, start, min(CHUNK_BYTES, end - start)
            )
            if not piece:
                raise BlobMissing(f"{key} is shorter than it should be")
            start += len(piece)
            yield piece
        self._warm.note(path)

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
