"""Pagination tokens of ``/messages``, ``/context`` and ``prev_batch``.

``t12`` is the place in a room just after its event at position 12: reading
backwards from it starts with that event, reading forwards with the next one.
"""

import re
from typing import Final

from tremula.protocol.errors import InvalidParam

_TOKEN: Final = re.compile(r"t(-?[0-9]{1,18})", re.ASCII)


def format_place(room_pos: int) -> str:
    """The token of the place just after *room_pos*."""
    return f"t{room_pos}"


def parse_place(raw: str) -> int:
    """The position that *raw* stands for.

    Raises:
        InvalidParam: *raw* is not a token of this server.
    """
    match = _TOKEN.fullmatch(raw)
    if match is None:
        raise InvalidParam("not a pagination token of this server")
    return int(match[1])
