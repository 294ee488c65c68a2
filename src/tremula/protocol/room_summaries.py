"""What others say of their rooms, for clients (CS "Listing rooms", "Spaces"). Pure."""

from collections.abc import Mapping
from typing import Any, Final

from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import parse_room_id

# What a room is shown with, and of which type that has to be.
_REQUIRED: Final[Mapping[str, type]] = {
    "room_id": str,
    "num_joined_members": int,
    "world_readable": bool,
    "guest_can_join": bool,
}
_OPTIONAL: Final = (
    *("canonical_alias", "name", "topic", "avatar_url", "join_rule", "room_type"),
)
_OPTIONAL_IN_SUMMARIES: Final = ("encryption", "room_version")
ALLOWED_ROOMS_MAX: Final = 100


def parse_published_room(raw: object) -> dict[str, Any] | None:
    """A ``PublishedRoomsChunk`` with nothing else in it; None if it is none."""
    if not isinstance(raw, dict):
        return None
    # Not `isinstance`: to Python, True is an integer.
    if not all(type(raw.get(key)) is type_ for key, type_ in _REQUIRED.items()):
        return None
    if not 0 <= raw["num_joined_members"] <= INTEGER_MAX or not _is_room_id(
        raw["room_id"]
    ):
        return None
    return {key: raw[key] for key in _REQUIRED} | _texts(raw, _OPTIONAL)


def parse_room_summary(raw: object) -> dict[str, Any] | None:
    """As `parse_published_room`, with what a summary of a room says beyond that."""
    summary = parse_published_room(raw)
    if summary is None:
        return None
    assert isinstance(raw, dict)
    summary |= _texts(raw, _OPTIONAL_IN_SUMMARIES)
    allowed = raw.get("allowed_room_ids")
    if isinstance(allowed, list):
        first = allowed[:ALLOWED_ROOMS_MAX]
        summary["allowed_room_ids"] = [each for each in first if _is_room_id(each)]
    return summary


def _texts(raw: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: raw[key] for key in keys if isinstance(raw.get(key), str)}


def _is_room_id(raw: object) -> bool:
    try:
        parse_room_id(raw)
    except InvalidParam:
        return False
    return True
