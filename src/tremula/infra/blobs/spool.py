"""Where bytes that come in are put down until they are complete.

A file of the spool has no name that anybody asks for, so that half a file is never
served. What a crash leaves behind is swept when its time is over.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import structlog

from tremula.infra.blobs.store import BlobError, Place, SpooledFile

log = structlog.get_logger(__name__)

T = TypeVar("T")

_BUFFER_BYTES: Final = 1_048_576
# So the page cache has large pages, which cost less than many. A megabyte in a row is
# memory that virtual machines give back to their hosts when it is free, and to get it
# again takes 3 ms.
_WRITE_BYTES: Final = 262_144
# All systems take as many in one call.
_IN_A_WRITE_MAX: Final = 1024
# To copy it looks for no implementation of SHA-256.
_NOTHING: Final = hashlib.sha256()
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
        writing = _Writing(self._new_path)
        file: SpooledFile | None = None
        try:
            file = await self._write(writing, chunks, find_place)
            yield file
        finally:
            if file is None or not file.is_moved:
                # Shielded: what was cancelled leaves nothing behind either.
                await asyncio.shield(self._disk.run(writing.give_up))

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A path for a file that somebody else writes; gone afterwards."""
        path = Path(self._new_path())
        try:
            await self._disk.run(make_folder, self.folder)
            yield path
        finally:
            await asyncio.shield(self._disk.run(partial(path.unlink, missing_ok=True)))

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

    def _new_path(self) -> str:
        """A path that nothing has."""
        return f"{self.folder}/{secrets.token_hex(16)}"


class _Writing:
    """A file that grows, and what is known of it so far.

    Waking a thread costs as much as hashing 100 KB: so the file is opened with the
    first bytes, and one of a megabyte, as most are, comes whole in one go.

    A thread that nobody waits for any more may still be at it when it is given up:
    whoever does that waits for it, and what comes later does nothing.
    """

    def __init__(self, new_path: Callable[[], str]) -> None:
        self.place: Place | None = None
        self._new_path = new_path
        self._path: str | None = None
        self._descriptor: int | None = None
        self._digest = _NOTHING.copy()
        self._size_bytes = 0
        self._working = Lock()
        self._is_given_up = False

    def append(self, pieces: list[bytes]) -> None:
        with self._working:
            self._append(pieces)

    def finish(self, pieces: list[bytes]) -> SpooledFile:
        with self._working:
            place = self.place.path if self.place is not None else None
            if self._path is None and place is not None:
                # Half of it may be there after a crash, but nobody knows the key.
                self._path = place
                self._descriptor = _open_prepared(place)
            os.fsync(self._append(pieces))
            self._close()
            assert self._path is not None
            if place is None:
                place = self._path
            elif place is not self._path:
                move(self._path, place)
        return SpooledFile(
            place, self._digest.hexdigest(), self._size_bytes, self.place
        )

    def give_up(self) -> None:
        """Remove it, wherever it is."""
        with self._working:
            self._is_given_up = True
            self._close()
            for path in (self._path, self.place.path if self.place else None):
                if path is not None:
                    Path(path).unlink(missing_ok=True)

    def _append(self, pieces: list[bytes]) -> int:
        if self._is_given_up:
            raise BlobError("it was given up")
        if self._descriptor is None:
            self._path = self._path or self._new_path()
            self._descriptor = _create(self._path)
        for piece in pieces:
            self._digest.update(piece)
        for group in _grouped(pieces, self._size_bytes):
            self._size_bytes += _write(self._descriptor, group)
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _grouped(pieces: list[bytes], start: int) -> Iterator[list[memoryview]]:
    """*pieces* that a file has from *start* on, by what is written in one call."""
    group: list[memoryview] = []
    room = _WRITE_BYTES - start % _WRITE_BYTES
    for piece in pieces:
        left = memoryview(piece)
        while left:
            part, left = left[:room], left[room:]
            group.append(part)
            room -= len(part)
            if not room or len(group) == _IN_A_WRITE_MAX:
                yield group
                group, room = [], room or _WRITE_BYTES
    if group:
        yield group


def _write(descriptor: int, group: list[memoryview]) -> int:
    size = sum(map(len, group))
    written = os.writev(descriptor, group)
    if written < size:
        # Whoever writes the rest is told why.
        left = memoryview(b"".join(group))[written:]
        while left:
            left = left[os.write(descriptor, left) :]
    return size


def _create(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        make_folder(Path(_folder_of(path)))
        return os.open(path, flags, 0o600)


def _open_prepared(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        # Whoever tidies up may take empty files for useless.
        prepare_files([path])
        return os.open(path, os.O_WRONLY)


def prepare_files(paths: Sequence[str]) -> None:
    """Make files of one folder that are empty, and durable as such."""
    folder = _folder_of(paths[0])
    make_folder(Path(folder))
    for path in paths:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    fsync_folder(folder)


def _folder_of(path: str) -> str:
    # Path objects take longer than the system calls.
    return path.rpartition("/")[0]


def make_folder(folder: Path) -> None:
    """Make it durable, with those that it is in."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_folder(str(folder.parent))


def move(file: str, target: str) -> None:
    """Move *file* to its place in the store for good."""
    folder = _folder_of(target)
    try:
        Path(file).replace(target)
    except FileNotFoundError:
        make_folder(Path(folder))
        Path(file).replace(target)
    fsync_folder(folder)


def fsync_folder(folder: str) -> None:
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
        return SpooledFile(str(path), digest.hexdigest(), file.tell())


def _sweep(folder: Path, before_s: float) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.stat().st_mtime < before_s:
            log.info("leftover_removed", file=str(path))
            path.unlink(missing_ok=True)
