"""Which events of other servers may come in by a handshake. Pure.

Each endpoint takes one kind of event; whatever else is sent there is neither signed nor
stored.
"""

from collections.abc import Mapping
from typing import Any, Final

from tremula.protocol.errors import BadJson, InvalidParam
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, ServerName, server_of
from tremula.protocol.received_events import ReceivedEvent

MEMBER: Final = "m.room.member"

_TEXTS: Final = ("displayname", "avatar_url", "reason")
_SHOWN_CHARS_MAX: Final = 8192


def check_place(received: ReceivedEvent, room_id: RoomId, event_id: EventId) -> None:
    """Refuse an event that is not the one in the path (CVE-2020-26257).

    Raises:
        InvalidParam: it is of another room, or another event, or its content is not
            what its sender has signed.
    """
    if received.event.room_id != room_id:
        raise InvalidParam("the event is of another room than the path says")
    if received.event.event_id != event_id:
        raise InvalidParam("the event is another one than the path says")
    if received.is_redacted:
        raise InvalidParam("the event does not match its content hash")


def check_own_membership(event: Event, membership: str, origin: ServerName) -> None:
    """Refuse all but a *membership* that a user of *origin* has set for themselves.

    Raises:
        InvalidParam: the event does anything else.
    """
    _check_membership(event, membership)
    if server_of(event.sender) != origin:
        raise InvalidParam("the sender is a user of another server")
    if event.state_key != event.sender:
        raise InvalidParam("the state_key must be the sender")


def check_invitation(event: Event, origin: ServerName, own: ServerName) -> None:
    """Refuse all but an invitation by a user of *origin* for one of *own*.

    Its content is shown to the invited user's clients as it is, so that it must be
    what they expect (CVE-2024-52815).

    Raises:
        InvalidParam: the event is anything else, or its content is malformed.
    """
    _check_membership(event, "invite")
    if server_of(event.sender) != origin:
        raise InvalidParam("the sender is a user of another server")
    if event.state_key is None or not _is_user_of(event.state_key, own):
        raise InvalidParam("the state_key must be a user of this server")
    check_shown_content(event.content)


def check_shown_content(content: Mapping[str, Any]) -> None:
    """Refuse a content of ``m.room.member`` whose known keys have wrong types.

    Raises:
        InvalidParam: one has.
    """
    for key in _TEXTS:
        value = content.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > _SHOWN_CHARS_MAX:
            raise InvalidParam(f"{key} must be a string of reasonable length")
    if not isinstance(content.get("is_direct", False), bool):
        raise InvalidParam("is_direct must be a boolean")
    if not isinstance(content.get("third_party_invite", {}), dict):
        raise InvalidParam("third_party_invite must be an object")


def object_of(body: object, key: str | None = None) -> dict[str, Any]:
    """The object that a request's body is, or has at *key*.

    Raises:
        BadJson: there is none.
    """
    value = body if key is None else object_of(body).get(key)
    if not isinstance(value, dict):
        raise BadJson(f"{key or 'the body'} must be an object")
    return value


def _check_membership(event: Event, membership: str) -> None:
    if event.type != MEMBER:
        raise InvalidParam("the event must be an m.room.member")
    if event.content.get("membership") != membership:
        raise InvalidParam(f"the membership must be {membership}")


def _is_user_of(state_key: str, own: ServerName) -> bool:
    return (
        state_key.startswith("@") and ":" in state_key and server_of(state_key) == own
    )
