"""Blobs as files in a folder.

Written by hand and not by way of obstore: this one fsyncs, reads what is in the page
cache without a thread, and costs a small server no second runtime.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tremula.infra.blobs.spool import Disk, fsync_folder, make_folder
from tremula.infra.blobs.store import CHUNK_BYTES, KEY, BlobMissing, SpooledFile

# Reads only what is in memory already; else EAGAIN, and a thread reads it.
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


class LocalBlobs:
    """Implements `BlobStore`. The folder may be one that several machines share."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    async def put(self, key: str, file: SpooledFile) -> None:
        """Move *file* to its place, which is in the same file system."""
        await self._disk.run(_put, file.path, self._path(key))
        file.is_moved = True

    async def read(self, key: str, start: int, length: int) -> AsyncGenerator[bytes]:
        """Read in pieces; the first one in a thread, as opening it may take long."""
        descriptor = await self._disk.run(_open, self._path(key))
        try:
            end = start + length
            while start < end:
                chunk = await self._read_at(
                    descriptor, start, min(CHUNK_BYTES, end - start)
                )
                if not chunk:
                    raise BlobMissing(f"{key} is shorter than it should be")
                start += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

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
        assert KEY.fullmatch(key), f"not a key: {key!r}"
        return self._folder / key[:2] / key

    async def _read_at(self, descriptor: int, start: int, length: int) -> bytes:
        if _NOWAIT:
            buffer = bytearray(length)
            # Not every file system can say what it has in memory.
            with suppress(BlockingIOError, OSError):
                read = os.preadv(descriptor, [buffer], start, _NOWAIT)
                if read:
                    return bytes(memoryview(buffer)[:read])
        return await self._disk.run(os.pread, descriptor, length, start)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise BlobMissing(f"there is no {path}") from error


def _put(file: Path, target: Path) -> None:
    try:
        file.replace(target)
    except FileNotFoundError:
        make_folder(target.parent)
        file.replace(target)
    fsync_folder(target.parent)


def _delete(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
