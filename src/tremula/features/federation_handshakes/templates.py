"""What another server wants signed, checked before it is (CVE-2026-24471). Pure.

Of a template nothing is taken over but what the graph of the room needs, and the user
who vouches for a restricted join; all else in the event is our own.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tremula.protocol.errors import InvalidParam, MatrixError, UnsupportedRoomVersion
from tremula.protocol.event_building import ReferenceHashes
from tremula.protocol.event_format import AUTH_EVENTS_MAX, PREV_EVENTS_MAX
from tremula.protocol.events import BuiltEvent, EventDraft, build_event
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    parse_event_id,
    parse_user_id,
    server_of,
)
from tremula.protocol.room_versions import (
    EventIdFormat,
    RoomVersion,
    get_room_version,
)
from tremula.protocol.signing import SigningKey

AUTHORISED_VIA = "join_authorised_via_users_server"


class BadTemplate(ValueError):
    """A template that this server does not sign."""


class Wish(Struct, frozen=True):
    """The membership that a user wants in a room, with its whole *content*."""

    room_id: RoomId
    user_id: UserId
    content: Mapping[str, Any]

    @property
    def membership(self) -> str:
        """``join``, ``knock`` or ``leave``."""
        membership: str = self.content["membership"]
        return membership


class Template(Struct, frozen=True):
    """A template that was checked: where in the graph of the room the event goes."""

    wish: Wish
    version: RoomVersion
    prev_events: tuple[EventId, ...]
    auth_events: tuple[EventId, ...]
    depth: int
    reference_hashes: ReferenceHashes
    authorised_via: UserId | None

    def sign(self, key: SigningKey, *, now_ms: int) -> BuiltEvent:
        """The event that the wish makes of the template.

        Raises:
            TooLarge: it is past the size limits.
        """
        content = dict(self.wish.content)
        if self.authorised_via is not None:
            content[AUTHORISED_VIA] = self.authorised_via
        return build_event(
            self.version,
            EventDraft(
                room_id=self.wish.room_id,
                type="m.room.member",
                sender=self.wish.user_id,
                state_key=self.wish.user_id,
                content=content,
                origin_server_ts=now_ms,
            ),
            prev_events=self.prev_events,
            auth_events=self.auth_events,
            depth=self.depth,
            signing_key=key,
            reference_hashes=self.reference_hashes,
        )


def check_template(answer: object, wish: Wish, *, resident: ServerName) -> Template:
    """Check the answer of *resident* to a ``make_…`` request.

    "In case any of the above checks fail, the response MUST be treated as malformed".

    Raises:
        BadTemplate: it is not what was asked for, or cannot be signed.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("event"), dict):
        raise BadTemplate("the answer has no event")
    event: dict[str, Any] = answer["event"]
    try:
        # "If not provided, the room version is assumed to be either "1" or "2"."
        version = get_room_version(answer.get("room_version", "1"))
        _check_what_it_does(event, wish)
        prev_events, hashes = _links(version, event, "prev_events", PREV_EVENTS_MAX)
        auth_events, auth_hashes = _links(
            version, event, "auth_events", AUTH_EVENTS_MAX
        )
        return Template(
            wish=wish,
            version=version,
            prev_events=prev_events,
            auth_events=auth_events,
            depth=_depth(version, event),
            reference_hashes=hashes | auth_hashes,
            authorised_via=_authorised_via(version, event, wish, resident),
        )
    except UnsupportedRoomVersion:
        raise BadTemplate("a room version that is not supported") from None
    except MatrixError as error:
        raise BadTemplate(error.message) from error


def _check_what_it_does(event: Mapping[str, Any], wish: Wish) -> None:
    content = event.get("content")
    found = {
        "type": event.get("type"),
        "room_id": event.get("room_id"),
        "sender": event.get("sender"),
        "state_key": event.get("state_key"),
        "membership": content.get("membership") if isinstance(content, dict) else None,
    }
    wanted = {
        "type": "m.room.member",
        "room_id": wish.room_id,
        "sender": wish.user_id,
        "state_key": wish.user_id,
        "membership": wish.membership,
    }
    wrong = [key for key in wanted if found[key] != wanted[key]]
    if wrong:
        raise BadTemplate(f"not what was asked for: {', '.join(wrong)}")


def _links(
    version: RoomVersion, event: Mapping[str, Any], key: str, length_max: int
) -> tuple[tuple[EventId, ...], dict[EventId, str]]:
    """The events that *event* names, and their hashes where it has some."""
    entries = event.get(key)
    if not isinstance(entries, list) or not 0 < len(entries) <= length_max:
        raise BadTemplate(f"{key} must be 1 to {length_max} events")
    if version.event_ids is not EventIdFormat.DOMAIN:
        return _distinct(key, [parse_event_id(entry) for entry in entries]), {}
    pairs = [entry for entry in entries if isinstance(entry, list) and len(entry) == 2]
    if len(pairs) < len(entries):
        raise BadTemplate(f"{key} must be pairs of an event ID and its hashes")
    hashes = {
        parse_event_id(event_id): known["sha256"]
        for event_id, known in pairs
        if isinstance(known, dict) and isinstance(known.get("sha256"), str)
    }
    return _distinct(key, [parse_event_id(event_id) for event_id, _ in pairs]), hashes


def _distinct(key: str, event_ids: list[EventId]) -> tuple[EventId, ...]:
    if len(set(event_ids)) < len(event_ids):
        raise BadTemplate(f"{key} names an event twice")
    return tuple(event_ids)


def _depth(version: RoomVersion, event: Mapping[str, Any]) -> int:
    depth = event.get("depth")
    if type(depth) is not int or not 0 < depth <= version.depth_max:
        raise BadTemplate(f"depth must be within 1..{version.depth_max}")
    return depth


def _authorised_via(
    version: RoomVersion, event: Mapping[str, Any], wish: Wish, resident: ServerName
) -> UserId | None:
    """The user who vouches for a restricted join: one of the resident server."""
    raw = event["content"].get(AUTHORISED_VIA)
    if raw is None or wish.membership != "join" or not version.restricted:
        return None
    user_id = parse_user_id(raw)
    if server_of(user_id) != resident:
        raise InvalidParam(f"{AUTHORISED_VIA} is a user of another server")
    return user_id
