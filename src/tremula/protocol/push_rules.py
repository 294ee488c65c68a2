"""The push rules that everyone starts with (CS "Predefined Rules")."""

from collections.abc import Sequence
from typing import Any, Final

from tremula.protocol.identifiers import UserId

PushRule = dict[str, Any]
Ruleset = dict[str, list[PushRule]]

_HIGHLIGHT: Final = {"set_tweak": "highlight"}
_OF_TWO: Final = {"kind": "room_member_count", "is": "2"}


def predefined_rules(user_id: UserId) -> Ruleset:
    """The rules of *user_id* by kind, the most important first."""
    return {
        "override": _override(user_id),
        "content": [],
        "room": [],
        "sender": [],
        "underride": _underride(),
    }


def _override(user_id: UserId) -> list[PushRule]:
    member = _matches("type", "m.room.member")
    mentioned = {
        "kind": "event_property_contains",
        "key": r"content.m\.mentions.user_ids",
        "value": user_id,
    }
    is_room_mention = _is(r"content.m\.mentions.room", value=True)
    may_mention_room = {"kind": "sender_notification_permission", "key": "room"}
    is_invite = _matches("content.membership", "invite")
    is_edit = _is(r"content.m\.relates_to.rel_type", value="m.replace")
    is_state = _matches("state_key", "")
    return [
        _rule("master", [], [], enabled=False),
        _rule("suppress_notices", [_matches("content.msgtype", "m.notice")], []),
        _rule(
            "invite_for_me",
            [member, is_invite, _matches("state_key", user_id)],
            ["notify", _sound("default")],
        ),
        _rule("member_event", [member], []),
        _rule(
            "is_user_mention", [mentioned], ["notify", _sound("default"), _HIGHLIGHT]
        ),
        _rule(
            "is_room_mention",
            [is_room_mention, may_mention_room],
            ["notify", _HIGHLIGHT],
        ),
        _rule(
            "tombstone",
            [_matches("type", "m.room.tombstone"), is_state],
            ["notify", _HIGHLIGHT],
        ),
        _rule("reaction", [_matches("type", "m.reaction")], []),
        _rule("room.server_acl", [_matches("type", "m.room.server_acl"), is_state], []),
        _rule("suppress_edits", [is_edit], []),
    ]


def _underride() -> list[PushRule]:
    message = _matches("type", "m.room.message")
    encrypted = _matches("type", "m.room.encrypted")
    aloud = ["notify", _sound("default")]
    return [
        _rule("call", [_matches("type", "m.call.invite")], ["notify", _sound("ring")]),
        _rule("encrypted_room_one_to_one", [_OF_TWO, encrypted], aloud),
        _rule("room_one_to_one", [_OF_TWO, message], aloud),
        _rule("message", [message], ["notify"]),
        _rule("encrypted", [encrypted], ["notify"]),
    ]


def _rule(
    name: str,
    conditions: Sequence[dict[str, Any]],
    actions: Sequence[object],
    *,
    enabled: bool = True,
) -> PushRule:
    return {
        "rule_id": f".m.rule.{name}",
        "default": True,
        "enabled": enabled,
        "conditions": conditions,
        "actions": actions,
    }


def _matches(key: str, pattern: str) -> dict[str, str]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _is(key: str, *, value: str | bool) -> dict[str, Any]:
    return {"kind": "event_property_is", "key": key, "value": value}


def _sound(name: str) -> dict[str, str]:
    return {"set_tweak": "sound", "value": name}
