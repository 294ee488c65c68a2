"""What a room shows of itself to those who are not in it."""

from typing import Any

from tremula.protocol.topics import plain_text_topic
from tremula.rooms.view import RoomView


def published_room(view: RoomView) -> dict[str, Any]:
    """The CS ``PublishedRoomsChunk`` of a room, from its committed state.

    Texts of a wrong type count as absent, so that one room's odd state cannot
    break a list for everyone.
    """
    texts = {
        "name": text_in(view, "m.room.name", "name"),
        "topic": plain_text_topic(view.content_of("m.room.topic") or {}),
        "canonical_alias": text_in(view, "m.room.canonical_alias", "alias"),
        "avatar_url": text_in(view, "m.room.avatar", "url"),
        "room_type": text_in(view, "m.room.create", "type"),
        "join_rule": view.join_rule,
    }
    shown: dict[str, Any] = {key: text for key, text in texts.items() if text}
    return shown | {
        "room_id": view.room_id,
        "num_joined_members": view.joined_count,
        "world_readable": view.history_visibility == "world_readable",
        "guest_can_join": (
            text_in(view, "m.room.guest_access", "guest_access") == "can_join"
        ),
    }


def text_in(view: RoomView, event_type: str, key: str) -> str | None:
    """A text in the content of a state event, if it is one."""
    value = (view.content_of(event_type) or {}).get(key)
    return value if isinstance(value, str) else None
