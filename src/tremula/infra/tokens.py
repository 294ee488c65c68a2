"""Stream tokens: what ``since`` and ``next_batch`` hold (CS ``sync``)."""

import re
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam

_NUMBER: Final = r"(0|[1-9]\d{0,15})"
_TOKEN: Final = re.compile(rf"s{_NUMBER}(?:_{_NUMBER})?", re.ASCII)
_POS_MAX: Final = 2**53 - 1


class StreamToken(Struct, frozen=True):
    """A point in the journal, opaque to clients: everything up to position ``pos``.

    The same for every process of the server, for as long as the database lives.
    ``device_pos``, below ``pos``, is up to where the messages to the device were shown,
    if an answer had no room for all of them.
    """

    pos: int
    device_pos: int | None = None

    def __str__(self) -> str:
        shown = "" if self.device_pos is None else f"_{self.device_pos}"
        return f"s{self.pos}{shown}"

    @property
    def received_pos(self) -> int:
        """Up to where whoever comes with this token has the messages to the device."""
        return self.pos if self.device_pos is None else self.device_pos

    @classmethod
    def parse(cls, raw: object) -> "StreamToken":
        """Read a client's token; only what ``str()`` writes is accepted.

        Raises:
            InvalidParam: *raw* is no such token.
        """
        match = _TOKEN.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise InvalidParam("not a stream token of this server")
        pos, device_pos = int(match[1]), int(match[2]) if match[2] else None
        if pos > _POS_MAX or (device_pos is not None and device_pos >= pos):
            raise InvalidParam("not a stream token of this server")
        return cls(pos, device_pos)
