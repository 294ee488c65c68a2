"""The aliases that ``m.room.canonical_alias`` events name. Pure."""

from collections.abc import Mapping
from typing import Any

from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import RoomAlias, parse_room_alias


def new_aliases(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[RoomAlias]:
    """The aliases in the content *after* that *before* does not name.

    Those are to be checked; CS setRoomStateWithKey: "Servers do not validate aliases
    which are being removed or are already present in the state event".

    Raises:
        BadJson: ``alt_aliases`` of *after* is no list.
        InvalidParam: a new one is not a valid alias.
    """
    alternatives = after.get("alt_aliases")
    if alternatives is not None and not isinstance(alternatives, list):
        raise BadJson("alt_aliases must be a list of room aliases")
    known = _named(before)
    return [parse_room_alias(alias) for alias in _named(after) if alias not in known]


def _named(content: Mapping[str, Any]) -> list[object]:
    alias = content.get("alias")
    alternatives = content.get("alt_aliases")
    named = alternatives if isinstance(alternatives, list) else []
    # An alias of null or "" is how clients remove it.
    return [alias, *named] if alias else named
