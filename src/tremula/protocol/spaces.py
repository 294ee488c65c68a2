"""Which rooms a space lists, and in which order (CS module "Spaces"). Pure.

What a space says is as untrusted as anything, be it of this server or another.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import (
    RoomId,
    ServerName,
    is_valid_server_name,
    parse_room_id,
    parse_user_id,
)

SPACE: Final = "m.space"
CHILD: Final = "m.space.child"

CHILDREN_MAX: Final = 500
"""How many rooms of one space are shown: the first ones in its order."""

_VIA_MAX: Final = 10
# Of a child's event: a hundred servers to join through fit in.
_BYTES_MAX: Final = 4096
# "Must consist of ASCII characters within the range \x20 … \x7E … Must not exceed 50".
_ORDER: Final = re.compile(r"[\x20-\x7e]{0,50}")

Rank = tuple[bool, str, int, str]


class Child(Struct, frozen=True):
    """A room of a space, and servers that can tell of it.

    ``json`` is the event as a stripped state event with ``origin_server_ts``.
    """

    room_id: RoomId
    via: tuple[ServerName, ...]
    suggested: bool
    rank: Rank
    json: bytes


def children_of(events: Iterable[object]) -> tuple[Child, ...]:
    """The rooms that ``m.space.child`` events name, in their order.

    An event that is malformed, or without a server in its ``via``, makes no child.
    """
    found = [child for child in map(_child, events) if child is not None]
    # A space has one event for each room; another server may list more.
    by_room = {child.room_id: child for child in found}
    ordered = sorted(by_room.values(), key=lambda child: child.rank)
    return tuple(ordered[:CHILDREN_MAX])


def order_of(content: Mapping[str, Any]) -> tuple[bool, str]:
    """What orders children before their age does: those with an ``order`` first."""
    order = content.get("order")
    if isinstance(order, str) and _ORDER.fullmatch(order):
        return False, order
    return True, ""


def _child(raw: object) -> Child | None:
    if not isinstance(raw, dict) or raw.get("type") != CHILD:
        return None
    content, ts_ms = raw.get("content"), raw.get("origin_server_ts")
    if not isinstance(content, dict) or type(ts_ms) is not int:
        return None
    via = _servers(content.get("via"))
    if not via or not 0 <= ts_ms <= INTEGER_MAX:
        return None
    try:
        room_id = parse_room_id(raw.get("state_key"))
        sender = parse_user_id(raw.get("sender"))
    except InvalidParam:
        return None
    json = _json(
        {
            "content": content,
            "origin_server_ts": ts_ms,
            "sender": sender,
            "state_key": room_id,
            "type": CHILD,
        }
    )
    if json is None:
        return None
    suggested = content.get("suggested") is True
    return Child(room_id, via, suggested, (*order_of(content), ts_ms, room_id), json)


def _servers(via: object) -> tuple[ServerName, ...]:
    valid = [
        ServerName(each)
        for each in (via[:_VIA_MAX] if isinstance(via, list) else ())
        if isinstance(each, str) and is_valid_server_name(each)
    ]
    return tuple(dict.fromkeys(valid))


def _json(event: Mapping[str, object]) -> bytes | None:
    try:
        encoded = orjson.dumps(event)
    except TypeError:
        # Integers of more than 64 bits.
        return None
    return encoded if len(encoded) <= _BYTES_MAX else None
