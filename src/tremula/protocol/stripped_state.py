"""Stripped state (CS "Stripped state"): what whoever may join is told of a room. Pure.

What another server says of its room is as untrusted as anything: it is bounded, and
pruned to the form that clients know (CVE-2023-32323, CVE-2024-52815).
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from tremula.protocol.errors import BadJson, TooLarge

STRIPPED_TYPES: Final = (
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
)

ENTRIES_MAX: Final = 100
BYTES_MAX: Final = 256 * 1024


def strip(event: Mapping[str, Any]) -> bytes:
    """*event* with nothing but what a stripped state event has.

    Raises:
        BadJson: it is no state event, or not what clients can read.
    """
    stripped = {key: event.get(key) for key in ("type", "state_key", "sender")}
    if not all(isinstance(value, str) for value in stripped.values()):
        raise BadJson("type, state_key and sender must be strings")
    content = event.get("content")
    if not isinstance(content, dict):
        raise BadJson("content must be an object")
    try:
        return orjson.dumps({**stripped, "content": content})
    except TypeError as error:
        raise BadJson(f"not storable: {error}") from error


def entries_of(raw: object) -> list[dict[str, Any]]:
    """The objects among the entries of an ``invite_room_state`` or the like.

    Raises:
        BadJson: it is no list.
        TooLarge: it has more entries than any room needs.
    """
    if not isinstance(raw, list):
        raise BadJson("the state must be a list")
    if len(raw) > ENTRIES_MAX:
        raise TooLarge(f"the state has more than {ENTRIES_MAX} entries")
    return [entry for entry in raw if isinstance(entry, dict)]


def strip_all(entries: list[dict[str, Any]]) -> list[bytes]:
    """The stripped events of *entries*; what is none is left out.

    Raises:
        TooLarge: together they are larger than any room needs.
    """
    stripped: list[bytes] = []
    for entry in entries:
        try:
            stripped.append(strip(entry))
        except BadJson:
            continue
    if sum(map(len, stripped)) > BYTES_MAX:
        raise TooLarge(f"the state is larger than {BYTES_MAX} bytes")
    return stripped
