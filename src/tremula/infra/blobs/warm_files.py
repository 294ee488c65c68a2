"""Reading files that are in memory, without a thread that might wait for a disk."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final

from tremula.infra.blobs.store import Piece

_WARM_S: Final = 60
_WARM_MAX: Final = 1024
# Not every system has it.
_NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)

ReadNow = Callable[[str, int, int], Piece]
"""Reads of a path, from a position on, that many bytes, or as many as are in memory.

Raises `BlockingIOError` if that is none, and `OSError` with ``EOPNOTSUPP`` where the
file system can't tell.
"""


def read_now(path: str, start: int, length: int) -> Piece:
    """See `ReadNow`."""
    if _NOWAIT is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        piece = bytearray(length)
        got = os.preadv(descriptor, [piece], start, _NOWAIT)
    finally:
        os.close(descriptor)
    return piece if got == length else piece[:got]


class WarmFiles:
    """Files that were in use within the last minute.

    To open one of those again waits for no disk. Network file systems would ask their
    server each time; they can't tell either what is in memory, so they are not asked
    twice.
    """

    def __init__(self, read: ReadNow = read_now) -> None:
        self._read = read
        self._until_s: dict[str, float] = {}
        self._can_tell = True

    def note(self, path: str) -> None:
        """This file is in use now."""
        self._until_s.pop(path, None)
        self._until_s[path] = _now_s() + _WARM_S
        if len(self._until_s) > _WARM_MAX:
            del self._until_s[next(iter(self._until_s))]

    def read(self, path: str, start: int, length: int) -> Piece | None:
        """All of that, or None if it might have to be waited for."""
        until_s = self._until_s.get(path)
        if until_s is None or until_s < _now_s() or not self._can_tell:
            return None
        try:
            piece = self._read(path, start, length)
        except OSError as error:
            # Whatever else is wrong, who reads it in a thread will be told.
            self._can_tell = error.errno != errno.EOPNOTSUPP
            return None
        return piece if len(piece) == length else None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
