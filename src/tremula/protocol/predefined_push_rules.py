"""The push rules that everyone starts with (CS "Predefined Rules"; MSC3930, 4306)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tremula.protocol.push_conditions import OWN_ID, THREAD_SUBSCRIPTION
from tremula.protocol.push_rule_values import (
    HIGHLIGHT,
    NOTIFY,
    SET_TWEAK,
    Action,
    Rule,
    RuleKind,
)

MASTER: Final = ".m.rule.master"

_HIGHLIGHT: Final = {SET_TWEAK: HIGHLIGHT}
_OF_TWO: Final = {"kind": "room_member_count", "is": "2"}
_POLL: Final = "org.matrix.msc3381.poll."


def _override() -> tuple[Rule, ...]:
    member = _matches("type", "m.room.member")
    mentioned = {
        "kind": "event_property_contains",
        "key": r"content.m\.mentions.user_ids",
        "value": OWN_ID,
    }
    is_room_mention = _is(r"content.m\.mentions.room", value=True)
    may_mention_room = {"kind": "sender_notification_permission", "key": "room"}
    is_invite = _matches("content.membership", "invite")
    is_edit = _is(r"content.m\.relates_to.rel_type", value="m.replace")
    is_state = _matches("state_key", "")
    return (
        Rule(MASTER, (), enabled=False, conditions=()),
        _rule("suppress_notices", [_matches("content.msgtype", "m.notice")], ()),
        _rule(
            "invite_for_me",
            [member, is_invite, _matches("state_key", OWN_ID)],
            (NOTIFY, _sound("default")),
        ),
        _rule("member_event", [member], ()),
        _rule("is_user_mention", [mentioned], (NOTIFY, _sound("default"), _HIGHLIGHT)),
        _rule(
            "is_room_mention",
            [is_room_mention, may_mention_room],
            (NOTIFY, _HIGHLIGHT),
        ),
        _rule(
            "tombstone",
            [_matches("type", "m.room.tombstone"), is_state],
            (NOTIFY, _HIGHLIGHT),
        ),
        _rule("reaction", [_matches("type", "m.reaction")], ()),
        _rule("room.server_acl", [_matches("type", "m.room.server_acl"), is_state], ()),
        _rule("suppress_edits", [is_edit], ()),
        _poll_rule("poll_response", [_is("type", value=f"{_POLL}response")], ()),
    )


def _postcontent() -> tuple[Rule, ...]:
    """Off until somebody wants them: whose clients do not subscribe to threads would
    not be told of any.
    """
    return tuple(
        Rule(
            f".io.element.msc4306.rule.{name}",
            actions,
            enabled=False,
            conditions=({"kind": THREAD_SUBSCRIPTION, "subscribed": is_subscribed},),
        )
        for name, is_subscribed, actions in (
            ("unsubscribed_thread", False, ()),
            ("subscribed_thread", True, (NOTIFY, _sound("default"))),
        )
    )


def _underride() -> tuple[Rule, ...]:
    message = _matches("type", "m.room.message")
    encrypted = _matches("type", "m.room.encrypted")
    aloud: tuple[Action, ...] = (NOTIFY, _sound("default"))
    return (
        _rule("call", [_matches("type", "m.call.invite")], (NOTIFY, _sound("ring"))),
        _rule("encrypted_room_one_to_one", [_OF_TWO, encrypted], aloud),
        _rule("room_one_to_one", [_OF_TWO, message], aloud),
        _rule("message", [message], (NOTIFY,)),
        _rule("encrypted", [encrypted], (NOTIFY,)),
        *_poll_underrides("start", aloud),
        *_poll_underrides("end", aloud),
    )


def _poll_underrides(what: str, aloud: tuple[Action, ...]) -> tuple[Rule, ...]:
    is_poll = _is("type", value=f"{_POLL}{what}")
    return (
        _poll_rule(f"poll_{what}_one_to_one", [_OF_TWO, is_poll], aloud),
        _poll_rule(f"poll_{what}", [is_poll], (NOTIFY,)),
    )


def _rule(
    name: str, conditions: Sequence[Mapping[str, Any]], actions: tuple[Action, ...]
) -> Rule:
    return Rule(f".m.rule.{name}", actions, conditions=tuple(conditions))


def _poll_rule(
    name: str, conditions: Sequence[Mapping[str, Any]], actions: tuple[Action, ...]
) -> Rule:
    rule_id = f".org.matrix.msc3930.rule.{name}"
    return Rule(rule_id, actions, conditions=tuple(conditions))


def _matches(key: str, pattern: str) -> dict[str, str]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _is(key: str, *, value: str | bool) -> dict[str, Any]:
    return {"kind": "event_property_is", "key": key, "value": value}


def _sound(name: str) -> dict[str, str]:
    return {SET_TWEAK: "sound", "value": name}


PREDEFINED: Final[Mapping[RuleKind, tuple[Rule, ...]]] = {
    RuleKind.OVERRIDE: _override(),
    RuleKind.POSTCONTENT: _postcontent(),
    RuleKind.UNDERRIDE: _underride(),
}
"""By kind, the most important first; `OWN_ID` stands for the user's ID."""
