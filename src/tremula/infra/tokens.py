"""Stream tokens: what ``since`` and ``next_batch`` hold (CS ``sync``).

``s123`` is everything up to journal position 123. ``s123~4.130`` is the same, and of
writer 4 everything up to 130: a vector clock, as short as the disorder is.
"""

import re
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam

_NUMBER: Final = r"(?:0|[1-9]\d{0,15})"
_TOKEN: Final = re.compile(
    rf"s(?P<pos>{_NUMBER})(?P<ahead>(?:~{_NUMBER}\.{_NUMBER}){{0,64}})", re.ASCII
)
_POS_MAX: Final = 2**53 - 1


class StreamToken(Struct, frozen=True):
    """A point in the journal, opaque to clients.

    ``ahead`` are ``(writer, pos)`` of the writers seen further than ``pos``, in
    rising order of writer, each position above ``pos``.
    """

    pos: int
    ahead: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return f"s{self.pos}" + "".join(
            f"~{writer}.{pos}" for writer, pos in self.ahead
        )

    @classmethod
    def parse(cls, raw: object) -> "StreamToken":
        """Read a client's token; only what ``str()`` writes is accepted.

        Raises:
            InvalidParam: *raw* is no such token.
        """
        match = _TOKEN.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise InvalidParam("not a stream token of this server")
        token = cls(int(match["pos"]), _parse_ahead(match["ahead"]))
        if not token._is_canonical():
            raise InvalidParam("not a stream token of this server")
        return token

    def _is_canonical(self) -> bool:
        if not self.ahead:
            return self.pos <= _POS_MAX
        writers = [writer for writer, _ in self.ahead]
        positions = [self.pos, *(pos for _, pos in self.ahead)]
        return (
            max(positions) <= _POS_MAX
            and all(pos > self.pos for pos in positions[1:])
            and writers == sorted(set(writers))
        )


def _parse_ahead(text: str) -> tuple[tuple[int, int], ...]:
    parts = (part.split(".") for part in text.split("~")[1:])
    return tuple((int(writer), int(pos)) for writer, pos in parts)
