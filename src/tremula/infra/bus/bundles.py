"""Several requests, or answers, in one message: what a message costs, they share."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

FRAME_BYTES: Final = 32
"""At most, around each of them."""

Frame = tuple[int, bytes]
"""The number that its sender gave a request, and the payload of that or of its answer.
"""

_encode: Final = msgspec.msgpack.Encoder().encode
_frames: Final = msgspec.msgpack.Decoder(list[Frame])


class Bundle(Struct):
    """What goes to ``subject`` in one message."""

    subject: str
    frames: list[Frame] = field(default_factory=list)
    size_bytes: int = 0


class Bundles:
    """Collects frames by subject until they are taken to be sent."""

    __slots__ = ("_all", "_open")

    def __init__(self) -> None:
        self._all: list[Bundle] = []
        self._open: dict[str, Bundle] = {}

    def add(self, subject: str, frame: Frame, bytes_max: int) -> None:
        """Put *frame* into a message of at most *bytes_max*."""
        size_bytes = len(frame[1]) + FRAME_BYTES
        bundle = self._open.get(subject)
        if bundle is None or bundle.size_bytes + size_bytes > bytes_max:
            bundle = self._open[subject] = Bundle(subject)
            self._all.append(bundle)
        bundle.frames.append(frame)
        bundle.size_bytes += size_bytes

    def take(self) -> list[Bundle]:
        """All of them, in the order in which they were begun."""
        bundles, self._all = self._all, []
        self._open.clear()
        return bundles


def pack(frames: Sequence[Frame]) -> bytes:
    """*frames* as they travel."""
    return _encode(frames)


def unpack(raw: bytes) -> list[Frame]:
    """What `pack` made.

    Raises:
        msgspec.MsgspecError: it is of another release.
    """
    return _frames.decode(raw)
