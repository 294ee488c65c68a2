"""Reading files that are in memory, without a thread that might wait for a disk."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final

_WARM_S: Final = 60
_WARM_MAX: Final = 1024
# Not every system has it.
_NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)

ReadNow = Callable[[str, int, memoryview], int]
"""Reads of a path, from a position on, what a buffer holds, or as much as is in memory,
and says how many bytes those are.

Raises `BlockingIOError` if that is none, and `OSError` with ``EOPNOTSUPP`` where the
file system can't tell.
"""


def read_now(path: str, start: int, into: memoryview) -> int:
    """See `ReadNow`."""
    if _NOWAIT is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(descriptor, [into], start, _NOWAIT)
    finally:
        os.close(descriptor)


class WarmFiles:
    """Files that were in use within the last minute.

    To open one of those again waits for no disk. Network file systems would ask their
    server each time; they can't tell either what is in memory, so they are not asked
    twice.

    What was read is given back, and one buffer kept, of a megabyte at most: to clear a
    new one takes half as long as to read into it.
    """

    def __init__(self, read: ReadNow = read_now) -> None:
        self._read = read
        self._until_s: dict[str, float] = {}
        self._can_tell = True
        self._spare: memoryview | None = None

    def note(self, path: str) -> None:
        """This file is in use now."""
        self._until_s.pop(path, None)
        self._until_s[path] = _now_s() + _WARM_S
        if len(self._until_s) > _WARM_MAX:
            del self._until_s[next(iter(self._until_s))]

    def read(self, path: str, start: int, length: int) -> memoryview | None:
        """All of that, or None if it might have to be waited for.

        It is the caller's until that gives it back, or for good.
        """
        until_s = self._until_s.get(path)
        if until_s is None or until_s < _now_s() or not self._can_tell:
            return None
        buffer = self._take(length)
        piece = buffer[:length]
        try:
            got = self._read(path, start, piece)
        except OSError as error:
            # Whatever else is wrong, who reads it in a thread will be told.
            self._can_tell = error.errno != errno.EOPNOTSUPP
            got = 0
        if got == length:
            return piece
        self.give_back(piece)
        return None

    def give_back(self, piece: memoryview) -> None:
        """Nobody looks at this *piece* any more: read others into its memory."""
        assert isinstance(piece.obj, bytearray)
        if self._spare is None or len(self._spare) < len(piece.obj):
            self._spare = memoryview(piece.obj)

    def _take(self, length: int) -> memoryview:
        buffer, self._spare = self._spare, None
        if buffer is None or len(buffer) < length:
            return memoryview(bytearray(length))
        return buffer


def _now_s() -> float:
    return asyncio.get_running_loop().time()
