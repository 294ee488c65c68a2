"""The authorisation rules of all room versions (RV1 to RV12 "Authorisation rules").

``check_auth`` decides whether a room state allows an event. The rules on the auth
events that a PDU names are ``auth_selection.check_auth_events``; memberships and
changes of power levels have modules of their own.
"""

from tremula.protocol.auth_member import ServerSigned, check_member, never_signed
from tremula.protocol.auth_power_levels import check_power_levels
from tremula.protocol.auth_rule_numbers import (
    NOT_JOINED,
    malformed,
    rule_numbers,
    violation,
)
from tremula.protocol.auth_selection import auth_event_keys, check_auth_events
from tremula.protocol.auth_state import AuthState
from tremula.protocol.errors import InvalidParam
from tremula.protocol.events import Event
from tremula.protocol.identifiers import parse_user_id, server_of
from tremula.protocol.power_levels import PowerLevels, lack_of_power
from tremula.protocol.room_state import StateEvent, StateKey, StateLookup
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion

__all__ = [
    "AuthState",
    "PowerLevels",
    "ServerSigned",
    "StateEvent",
    "StateKey",
    "StateLookup",
    "auth_event_keys",
    "check_auth",
    "check_auth_events",
    "is_judged_by_sender",
    "never_signed",
]

# Types of which a rule asks for more than who sends them.
_JUDGED_BY_CONTENT = frozenset(
    {
        "m.room.aliases",
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.redaction",
        "m.room.third_party_invite",
    }
)


def check_auth(
    version: RoomVersion,
    event: Event,
    state: StateLookup,
    *,
    server_signed: ServerSigned = never_signed,
) -> None:
    """Check that *state*, the room state before *event*, allows it.

    Give an ``AuthState`` that lives as long as the room is warm, and the power levels
    are parsed once for many events. *server_signed* tells whether the event bears a
    valid signature of a server besides the sender's; only restricted joins ask.

    Raises:
        AuthRuleViolation: a rule rejects the event.
    """
    event_type = event.type
    if event_type == "m.room.create":
        _check_create(version, event)
        return
    auth = state if isinstance(state, AuthState) else AuthState(version, state)
    _check_room(version, event, auth.create)
    if event_type == "m.room.member":
        check_member(version, event, auth, server_signed)
        return
    if event_type == "m.room.aliases" and version.alias_auth_rule:
        _check_aliases(version, event)
        return
    _check_sender(version, event, auth)


def is_judged_by_sender(event_type: str, state_key: str | None) -> bool:
    """Whether one room state allows all such events of a sender, or none of them.

    They have the same auth events, too.
    """
    return state_key is None and event_type not in _JUDGED_BY_CONTENT


def _check_create(version: RoomVersion, event: Event) -> None:
    """Rule 1: "If type is m.room.create"."""
    if event.prev_events:
        raise malformed(version, (1, 1), "a create event has no prev_events")
    if version.room_id_is_create_hash:
        # "If the event has a room_id, reject." Parsing refuses one that is given, and
        # derives the room ID from the event ID instead.
        if not _is_room_of(event.room_id, event):
            raise violation(version, (1, 2), "the room ID is not the create event's")
    elif server_of(event.room_id) != server_of(event.sender):
        raise violation(version, (1, 2), "the room ID is of another server")
    content = event.content
    if "room_version" in content and not _is_recognised(content["room_version"]):
        raise violation(version, (1, 3), "the room version is not recognised")
    if not version.implicit_creator and "creator" not in content:
        raise violation(version, (1, 4), "content has no creator")
    if version.privileged_creators and "additional_creators" in content:
        _check_additional_creators(version, content["additional_creators"])


def _is_room_of(room_id: str, create: StateEvent) -> bool:
    return room_id[:1] == "!" and room_id[1:] == create.event_id[1:]


def _is_recognised(room_version: object) -> bool:
    return isinstance(room_version, str) and room_version in ROOM_VERSIONS


def _check_additional_creators(version: RoomVersion, creators: object) -> None:
    if not isinstance(creators, list):
        raise violation(version, (1, 4), "additional_creators is not an array")
    for user_id in creators:
        try:
            parse_user_id(user_id)
        except InvalidParam as error:
            message = f"additional_creators: {error.message}"
            raise violation(version, (1, 4), message) from error


def _check_room(version: RoomVersion, event: Event, create: StateEvent | None) -> None:
    """The rules on the create event, which hold for all other types."""
    if version.room_id_is_create_hash:
        # RV12 rule 2: "If the event's room_id is not an event ID for an accepted
        # m.room.create event, with the sigil ! instead of $, reject."
        if create is None or not _is_room_of(event.room_id, create):
            raise violation(version, (2,), "the room ID is not the create event's")
    elif create is None:
        message = "the room has no create event"
        raise violation(version, (rule_numbers(version).auth_events, 4), message)
    # "If the content of the m.room.create event in the room state has the property
    # m.federate set to false, and the sender domain of the event does not match the
    # sender domain of the create event, reject."
    if create.content.get("m.federate") is False and (
        server_of(event.sender) != server_of(create.sender)
    ):
        number = rule_numbers(version).federate
        message = "this room is for users of the server that made it, and no others"
        raise violation(version, (number,), message)


def _check_aliases(version: RoomVersion, event: Event) -> None:
    """Rule 4 until room version 5: "If type is m.room.aliases"."""
    if event.state_key is None:
        raise violation(version, (4, 1), "an aliases event needs a state key")
    if server_of(event.sender) != event.state_key:
        raise violation(version, (4, 2), "aliases are set by their own server only")


def _check_sender(version: RoomVersion, event: Event, auth: AuthState) -> None:
    """The rules on all types but create, memberships and old aliases."""
    sender = event.sender
    # "If the sender's current membership state is not join, reject."
    if auth.membership(sender) != "join":
        number = rule_numbers(version).sender_is_joined
        raise violation(version, (number,), NOT_JOINED)
    levels = auth.power_levels
    level = levels.user(sender)
    event_type = event.type
    state_key = event.state_key
    # "If type is m.room.third_party_invite: Allow if and only if sender's current
    # power level is greater than or equal to the invite level."
    if event_type == "m.room.third_party_invite":
        if level < levels.invite:
            number = rule_numbers(version).third_party_invite
            message = lack_of_power(levels.invite, level, "invite")
            raise violation(version, (number, 1), message)
        return
    # "If the event type's required power level is greater than the sender's power
    # level, reject."
    needed = levels.event(event_type, is_state=state_key is not None)
    if needed > level:
        number = rule_numbers(version).required_level
        message = lack_of_power(needed, level, f"send {event_type}")
        raise violation(version, (number,), message)
    # "If the event has a state_key that starts with an @ and does not match the
    # sender, reject."
    if state_key is not None and state_key[:1] == "@" and state_key != sender:
        number = rule_numbers(version).state_key_of_user
        message = "the state key is another user's ID: only they may send that"
        raise violation(version, (number,), message)
    if event_type == "m.room.power_levels":
        check_power_levels(version, event, auth)
    elif event_type == "m.room.redaction" and version.redaction_auth_rule:
        _check_redaction(version, event, levels)


def _check_redaction(version: RoomVersion, event: Event, levels: PowerLevels) -> None:
    """Rule 11 of room versions 1 and 2: "If type is m.room.redaction"."""
    if levels.can_redact(event.sender):
        return
    # "If the domain of the event_id of the event being redacted is the same as the
    # domain of the event_id of the m.room.redaction, allow."
    if event.redacts is None or server_of(event.redacts) != server_of(event.event_id):
        number = rule_numbers(version).redaction
        message = lack_of_power(
            levels.redact, levels.user(event.sender), "redact events of other servers"
        )
        raise violation(version, (number, 3), message)
