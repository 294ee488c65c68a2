"""The auth events of an event: which they are (SS "Auth events selection"), and the
rules on those that a PDU names.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tremula.protocol.auth_rule_numbers import rule_numbers, violation
from tremula.protocol.events import Event
from tremula.protocol.room_state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateKey,
    member_key,
)
from tremula.protocol.room_versions import RoomVersion


def auth_event_keys(
    version: RoomVersion,
    event_type: str,
    state_key: str | None,
    sender: str,
    content: Mapping[str, Any],
) -> list[StateKey]:
    """The keys of the room state whose events, where there are any, are auth events.

    Without duplicates. *content* may have any shape.
    """
    if event_type == "m.room.create":
        return []
    keys = [CREATE] if version.create_in_auth_events else []
    keys += (POWER_LEVELS, member_key(sender))
    if event_type == "m.room.member" and state_key is not None:
        keys += _member_keys(version, sender, state_key, content)
    return keys


def _member_keys(
    version: RoomVersion, sender: str, target: str, content: Mapping[str, Any]
) -> list[StateKey]:
    keys: list[StateKey] = []
    if target != sender:
        keys.append(member_key(target))
    membership = content.get("membership")
    if membership in ("join", "invite", "knock"):
        keys.append(JOIN_RULES)
    if membership == "invite":
        token = third_party_invite_token(content)
        if token is not None:
            keys.append(("m.room.third_party_invite", token))
    elif membership == "join" and version.restricted:
        authorising = content.get("join_authorised_via_users_server")
        if isinstance(authorising, str) and authorising not in (sender, target):
            keys.append(member_key(authorising))
    return keys


def third_party_invite_token(content: Mapping[str, Any]) -> str | None:
    """``third_party_invite.signed.token`` of a membership, if it is a text."""
    invite = content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    token = signed.get("token") if isinstance(signed, dict) else None
    return token if isinstance(token, str) else None


def check_auth_events(
    version: RoomVersion,
    event: Event,
    auth_events: Iterable[Event],
    *,
    rejected: Collection[str] = (),
) -> None:
    """Check the auth events that a PDU names for themselves (RV1 rule 2, RV12 rule 3).

    *auth_events* are the events named by ``event.auth_events``, in any order;
    *rejected* the IDs of those of them that were rejected. That the event is allowed
    by them is for ``check_auth`` to say, with them as the state.

    Raises:
        AuthRuleViolation: the list itself breaks a rule.
    """
    if event.type == "m.room.create":
        return
    cited = list(auth_events)
    keys = _check_keys(version, event, cited)
    chapter = rule_numbers(version).auth_events
    # "If there are entries which were themselves rejected [...], reject."
    for auth_event in cited:
        if auth_event.event_id in rejected:
            message = f"auth event {auth_event.event_id} was rejected"
            raise violation(version, (chapter, 3), message)
    # "If there is no m.room.create event among the entries, reject." (until 11)
    if version.create_in_auth_events and CREATE not in keys:
        message = "the create event is not among the auth events"
        raise violation(version, (chapter, 4), message)
    # "If any event in auth_events has a room_id which does not match [...], reject."
    for auth_event in cited:
        if auth_event.room_id != event.room_id:
            message = f"auth event {auth_event.event_id} is of another room"
            raise violation(version, (chapter, 5), message)


def _check_keys(
    version: RoomVersion, event: Event, cited: list[Event]
) -> set[tuple[str, str | None]]:
    """The keys of the auth events: each once, and each one that *event* has."""
    chapter = rule_numbers(version).auth_events
    seen: set[tuple[str, str | None]] = set()
    for auth_event in cited:
        key = (auth_event.type, auth_event.state_key)
        # "If there are duplicate entries for a given type and state_key pair, reject."
        if key in seen:
            message = f"two auth events are the {key} of the room"
            raise violation(version, (chapter, 1), message)
        seen.add(key)
    selected = auth_event_keys(
        version, event.type, event.state_key, event.sender, event.content
    )
    # "If there are entries whose type and state_key don't match those specified by
    # the auth events selection algorithm [...], reject."
    unexpected = seen.difference(selected)
    if unexpected:
        names = sorted(map(str, unexpected))
        message = f"auth events that such an event does not have: {names}"
        raise violation(version, (chapter, 2), message)
    return seen
