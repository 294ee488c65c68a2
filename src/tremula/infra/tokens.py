"""Stream tokens: what ``since`` and ``next_batch`` hold (CS ``sync``)."""

import re
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam

_TOKEN: Final = re.compile(r"s(0|[1-9]\d{0,15})", re.ASCII)
_POS_MAX: Final = 2**53 - 1


class StreamToken(Struct, frozen=True):
    """A point in the journal, opaque to clients: everything up to position ``pos``.

    The same for every process of the server, for as long as the database lives.
    """

    pos: int

    def __str__(self) -> str:
        return f"s{self.pos}"

    @classmethod
    def parse(cls, raw: object) -> "StreamToken":
        """Read a client's token; only what ``str()`` writes is accepted.

        Raises:
            InvalidParam: *raw* is no such token.
        """
        match = _TOKEN.fullmatch(raw) if isinstance(raw, str) else None
        if match is None or int(match[1]) > _POS_MAX:
            raise InvalidParam("not a stream token of this server")
        return cls(int(match[1]))
