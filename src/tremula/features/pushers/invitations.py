"""What a user is told of an invitation to a room that this server is not in."""

from collections.abc import Mapping
from typing import Any

import orjson

from tremula.features.pushers.notification import Subject
from tremula.protocol.room_state import member_key
from tremula.rooms.outside import OutsideMembership

_Contents = Mapping[tuple[str, str], Mapping[str, Any]]


def invitation_subject(invitation: OutsideMembership) -> Subject:
    """The invitation with the names that came with it."""
    event = invitation.event
    stripped = [orjson.loads(each) for each in invitation.stripped_state]
    told = {(each["type"], each["state_key"]): each["content"] for each in stripped}
    return Subject(
        event_id=invitation.event_id,
        room_id=invitation.room_id,
        type=event["type"],
        sender=invitation.sender,
        content=event["content"],
        ts_ms=event["origin_server_ts"],
        user_is_target=True,
        sender_display_name=_text(told, member_key(invitation.sender), "displayname"),
        room_name=_text(told, ("m.room.name", ""), "name"),
        room_alias=_text(told, ("m.room.canonical_alias", ""), "alias"),
    )


def invitation_title(invitation: OutsideMembership) -> str:
    """A name for the room, of whose members no other is known than the inviter."""
    subject = invitation_subject(invitation)
    return (
        subject.room_name
        or subject.room_alias
        or subject.sender_display_name
        or subject.sender
    )


def _text(told: _Contents, key: tuple[str, str], name: str) -> str | None:
    text = told.get(key, {}).get(name)
    return text if isinstance(text, str) and text else None
