"""The authorisation rules on ``m.room.member`` (RV1 rule 5, RV11 rule 4)."""

from collections.abc import Callable
from typing import Any, Final

from tremula.protocol.auth_rule_numbers import (
    NOT_JOINED,
    rule_numbers,
    unauthorised,
    violation,
)
from tremula.protocol.auth_state import AuthState
from tremula.protocol.auth_third_party_invite import check_third_party_invite
from tremula.protocol.errors import AuthRuleViolation, InvalidParam
from tremula.protocol.events import Event
from tremula.protocol.identifiers import ServerName, parse_user_id, server_of
from tremula.protocol.power_levels import PowerLevels, lack_of_power, room_creators
from tremula.protocol.room_versions import RoomVersion

# Whether the event in question bears a valid signature of that server.
ServerSigned = Callable[[ServerName], bool]

_WHY_NO_KNOCK: Final = {
    "ban": "you are banned from this room",
    "invite": "you are invited to this room already",
    "join": "you are in this room already",
}


def never_signed(server_name: ServerName) -> bool:  # noqa: ARG001 (a ServerSigned)
    """No server but the sender's has signed the event."""
    return False


def check_member(
    version: RoomVersion, event: Event, auth: AuthState, server_signed: ServerSigned
) -> None:
    """Check a membership against the room state before it.

    Raises:
        AuthRuleViolation: the membership, or this change of it, is not allowed.
    """
    content = event.content
    if event.state_key is None or "membership" not in content:
        number = (rule_numbers(version).member, 1)
        message = "a membership needs a state key and a membership property"
        raise violation(version, number, message)
    if version.restricted and "join_authorised_via_users_server" in content:
        _check_authorising_server(version, content, server_signed)
    membership = content["membership"]
    if membership == "join":
        _check_join(version, event, event.state_key, auth)
    elif membership == "invite":
        _check_invite(version, event, event.state_key, auth)
    elif membership == "leave":
        _check_leave(version, event, event.state_key, auth)
    elif membership == "ban":
        _check_ban(version, event, event.state_key, auth)
    elif membership == "knock" and version.knock:
        _check_knock(version, event, event.state_key, auth)
    else:
        numbers = rule_numbers(version)
        number = (numbers.member, numbers.unknown_membership)
        raise violation(version, number, f"{membership!r:.100} is no membership")


def _check_authorising_server(
    version: RoomVersion, content: dict[str, Any], server_signed: ServerSigned
) -> None:
    """RV8 rule 4.2.

    "If the event is not validly signed by the homeserver of the user ID denoted by
    the key, reject."
    """
    try:
        user_id = parse_user_id(content["join_authorised_via_users_server"])
        is_signed = server_signed(server_of(user_id))
    except InvalidParam:
        is_signed = False
    if not is_signed:
        number = (rule_numbers(version).member, 2, 1)
        message = "the event is not signed by join_authorised_via_users_server"
        raise violation(version, number, message)


def _check_join(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> None:
    """RV1 rule 5.2, RV8 rule 4.3: "If membership is join"."""
    if _is_first_join(version, event, target, auth):
        return
    if event.sender != target:
        raise _join_violation(version, 2, "nobody can join for somebody else")
    membership = auth.membership(target)
    if membership == "ban":
        raise _join_violation(version, 3, "you are banned from this room")
    join_rule = auth.join_rule
    if join_rule == "public":
        return
    if join_rule == "invite" or (join_rule == "knock" and version.knock):
        if membership in ("invite", "join"):
            return
    elif _is_restricted(version, join_rule):
        if membership not in ("invite", "join"):
            _check_authorising_user(version, event, auth)
        return
    otherwise = 7 if version.restricted else 6
    raise _join_violation(version, otherwise, "you are not invited to this room")


def _join_violation(version: RoomVersion, rule: int, message: str) -> AuthRuleViolation:
    numbers = rule_numbers(version)
    return violation(version, (numbers.member, numbers.join, rule), message)


def _is_first_join(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> bool:
    # "If the only previous event is an m.room.create and the state_key is the creator
    # [from 11 on: the sender of the m.room.create], allow."
    create = auth.create
    if create is None or event.prev_events != (create.event_id,):
        return False
    if version.implicit_creator:
        return target == create.sender
    return target in room_creators(version, create)


def _is_restricted(version: RoomVersion, join_rule: str | None) -> bool:
    if join_rule == "restricted":
        return version.restricted
    return join_rule == "knock_restricted" and version.knock_restricted


def _check_authorising_user(
    version: RoomVersion, event: Event, auth: AuthState
) -> None:
    # RV8 rule 4.3.5.2: "If the join_authorised_via_users_server key in content is not
    # a user with sufficient permission to invite other users or is not a joined member
    # of the room, reject."
    user_id = event.content.get("join_authorised_via_users_server")
    if (
        not isinstance(user_id, str)
        or auth.membership(user_id) != "join"
        or not auth.power_levels.can_invite(user_id)
    ):
        numbers = rule_numbers(version)
        number = (numbers.member, numbers.join, 5, 2)
        message = (
            "you are not invited to this room, "
            "and no member who may invite has authorised the join"
        )
        raise unauthorised(version, number, message)


def _check_invite(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> None:
    """RV1 rule 5.3, RV8 rule 4.4: "If membership is invite"."""
    numbers = rule_numbers(version)
    number = (numbers.member, numbers.invite)
    if "third_party_invite" in event.content:
        check_third_party_invite(version, event, target, auth)
        return
    if auth.membership(event.sender) != "join":
        raise violation(version, (*number, 2), NOT_JOINED)
    membership = auth.membership(target)
    if membership in ("join", "ban"):
        what = "banned from" if membership == "ban" else "already in"
        message = f"{target} is {what} this room"
        raise violation(version, (*number, 3), message)
    levels = auth.power_levels
    if not levels.can_invite(event.sender):
        level = levels.user(event.sender)
        message = lack_of_power(levels.invite, level, "invite")
        raise violation(version, (*number, 5), message)


def _check_leave(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> None:
    """RV1 rule 5.4, RV8 rule 4.5: "If membership is leave"."""
    numbers = rule_numbers(version)
    number = (numbers.member, numbers.leave)
    sender = event.sender
    if sender == target:
        membership = auth.membership(sender)
        if membership in ("invite", "join"):
            return
        if membership == "knock" and version.knock:
            return
        message = "you are neither in this room nor invited to it"
        raise violation(version, (*number, 1), message)
    if auth.membership(sender) != "join":
        raise violation(version, (*number, 2), NOT_JOINED)
    levels = auth.power_levels
    if auth.membership(target) == "ban" and levels.user(sender) < levels.ban:
        message = lack_of_power(levels.ban, levels.user(sender), f"unban {target}")
        raise violation(version, (*number, 3), message)
    if not levels.can_kick(sender, target):
        message = _lack_of_power_over(levels, levels.kick, sender, f"remove {target}")
        raise violation(version, (*number, 5), message)


def _lack_of_power_over(
    levels: PowerLevels, needed: int, sender: str, to_do: str
) -> str:
    """What *sender* is told who can't do something to somebody."""
    level = levels.user(sender)
    if level < needed:
        return lack_of_power(needed, level, to_do)
    return f"you can't {to_do}, whose power level is not below yours"


def _check_ban(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> None:
    """RV1 rule 5.5, RV8 rule 4.6: "If membership is ban"."""
    numbers = rule_numbers(version)
    number = (numbers.member, numbers.ban)
    if auth.membership(event.sender) != "join":
        raise violation(version, (*number, 1), NOT_JOINED)
    levels = auth.power_levels
    if not levels.can_ban(event.sender, target):
        message = _lack_of_power_over(levels, levels.ban, event.sender, f"ban {target}")
        raise violation(version, (*number, 3), message)


def _check_knock(
    version: RoomVersion, event: Event, target: str, auth: AuthState
) -> None:
    """RV7 rule 4.6, RV8 rule 4.7: "If membership is knock"."""
    numbers = rule_numbers(version)
    number = (numbers.member, numbers.knock)
    join_rule = auth.join_rule
    if join_rule != "knock" and not (
        join_rule == "knock_restricted" and version.knock_restricted
    ):
        message = "nobody can knock on this room: its join rule does not allow it"
        raise violation(version, (*number, 1), message)
    if event.sender != target:
        message = "nobody can knock for somebody else"
        raise violation(version, (*number, 2), message)
    membership = auth.membership(target)
    if membership in _WHY_NO_KNOCK:
        message = _WHY_NO_KNOCK[membership]
        raise violation(version, (*number, 4), message)
