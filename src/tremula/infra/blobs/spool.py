"""Where bytes that come in are put down until they are complete.

A file of the spool has no name that anybody asks for, so that half a file is never
served. What a crash leaves behind is swept when its time is over.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import structlog

from tremula.infra.blobs.store import BlobError, Place, SpooledFile

log = structlog.get_logger(__name__)

T = TypeVar("T")

_BUFFER_BYTES: Final = 1_048_576
_THREADS: Final = 8
_LEFTOVER_S: Final = 86_400


class Disk:
    """Threads for what may wait for a disk. They are started when first needed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    async def run(self, work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
        """What *work* returns, done in a thread.

        Raises:
            BlobError: of an OSError.
        """
        loop = asyncio.get_running_loop()
        # `wrap_future` costs more than a read of 100 KB.
        result: asyncio.Future[T] = loop.create_future()
        self._threads.submit(_work, loop, result, partial(work, *args))
        try:
            return await result
        except OSError as error:
            raise BlobError(str(error)) from error

    def close(self) -> None:
        """End the threads, after what they are doing."""
        self._threads.shutdown(wait=True)


def _work(
    loop: asyncio.AbstractEventLoop, result: asyncio.Future[T], work: Callable[[], T]
) -> None:
    try:
        done = work()
    except BaseException as error:  # noqa: BLE001 - for who waits
        loop.call_soon_threadsafe(_settle, result, result.set_exception, error)
    else:
        loop.call_soon_threadsafe(_settle, result, result.set_result, done)


def _settle(result: asyncio.Future[T], settle: Callable[[Any], None], by: Any) -> None:  # noqa: ANN401
    # It is, if it was cancelled: nobody waits any more.
    if not result.done():
        settle(by)


class Spool:
    """A folder for files that are on their way; several processes may share it."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk

    @asynccontextmanager
    async def receive(
        self,
        chunks: AsyncIterable[bytes],
        find_place: Callable[[], Awaitable[Place]] | None = None,
    ) -> AsyncIterator[SpooledFile]:
        """Put *chunks* down in a file, which is gone afterwards unless it was moved.

        Once it is complete it is moved to where *find_place* says, by the thread that
        has written it: to wake another one costs as much as hashing 100 KB. What comes
        whole in one go is written there.

        In memory is no more than a megabyte of them, and the one that comes next.

        Raises:
            BlobError: the disk is full or broken.
        """
        writing = _Writing(self.new_path)
        file: SpooledFile | None = None
        try:
            file = await self._write(writing, chunks, find_place)
            yield file
        finally:
            if file is None or not file.is_moved:
                # Shielded: what was cancelled leaves nothing behind either.
                await asyncio.shield(self._disk.run(writing.remove))

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A path for a file that somebody else writes; gone afterwards."""
        path = self.new_path()
        try:
            await self._disk.run(make_folder, self.folder)
            yield path
        finally:
            await asyncio.shield(self._disk.run(partial(path.unlink, missing_ok=True)))

    def new_path(self) -> Path:
        """A path that nothing has."""
        return self.folder / secrets.token_hex(16)

    async def sweep(self, now_s: float) -> None:
        """Remove what has been lying here for a day: the remains of a crash."""
        await self._disk.run(_sweep, self.folder, now_s - _LEFTOVER_S)

    async def measure(self, path: Path) -> SpooledFile:
        """What a file that is complete holds; it is fsynced.

        Raises:
            BlobError: it can't be read.
        """
        return await self._disk.run(_measure, path)

    async def _write(
        self,
        writing: "_Writing",
        chunks: AsyncIterable[bytes],
        find_place: Callable[[], Awaitable[Place]] | None,
    ) -> SpooledFile:
        try:
            buffer: list[bytes] = []
            buffered = 0
            async for chunk in chunks:
                if buffered + len(chunk) > _BUFFER_BYTES:
                    await self._disk.run(writing.append, buffer)
                    buffer, buffered = [], 0
                buffer.append(chunk)
                buffered += len(chunk)
            if find_place is not None:
                writing.place = await find_place()
            return await self._disk.run(writing.finish, buffer)
        finally:
            writing.close()


class _Writing:
    """A file that grows, and what is known of it so far.

    Waking a thread costs as much as hashing 100 KB: so the file is opened with the
    first bytes, and one of a megabyte, as most are, comes whole in one go.
    """

    def __init__(self, new_path: Callable[[], Path]) -> None:
        self._new_path = new_path
        self._path: Path | None = None
        self.place: Place | None = None
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._file: BinaryIO | None = None

    def append(self, pieces: list[bytes]) -> BinaryIO:
        if self._file is None:
            self._path = self._path or self._new_path()
            self._file = _create(self._path)
        for piece in pieces:
            self._digest.update(piece)
            self._size_bytes += len(piece)
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]
        return self._file

    def finish(self, pieces: list[bytes]) -> SpooledFile:
        place = self.place.path if self.place is not None else None
        if self._path is None:
            # Half of it may be there after a crash, but nobody knows the key.
            self._path = place
        os.fsync(self.append(pieces).fileno())
        self.close()
        assert self._path is not None
        if place is None:
            place = self._path
        elif place is self._path:
            fsync_folder(place.parent)
        else:
            move(self._path, place)
        return SpooledFile(
            place, self._digest.hexdigest(), self._size_bytes, self.place
        )

    def remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        # Last: until now a thread that nobody waits for might have moved it there.
        if self.place is not None and self.place.path is not None:
            self.place.path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _create(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        make_folder(path.parent)
        descriptor = os.open(path, flags, 0o600)
    return open(descriptor, "wb", buffering=0)


def make_folder(folder: Path) -> None:
    """Make it durable, with those that it is in."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


def move(file: Path, target: Path) -> None:
    """Move *file* to its place in the store for good."""
    try:
        file.replace(target)
    except FileNotFoundError:
        make_folder(target.parent)
        file.replace(target)
    fsync_folder(target.parent)


def fsync_folder(folder: Path) -> None:
    """Make durable which files *folder* has, and under what names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _measure(path: Path) -> SpooledFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        os.fsync(file.fileno())
        return SpooledFile(path, digest.hexdigest(), file.tell())


def _sweep(folder: Path, before_s: float) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.stat().st_mtime < before_s:
            log.info("leftover_removed", file=str(path))
            path.unlink(missing_ok=True)
