"""Push rules as clients set them, checked and within bounds (CS setPushRule)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import json

from tremula.protocol.errors import BadJson, InvalidParam, MissingParam, NotFound
from tremula.protocol.identifiers import ID_BYTES_MAX
from tremula.protocol.push_conditions import is_scalar, parse_member_count
from tremula.protocol.push_rule_values import (
    NOTIFY,
    SET_TWEAK,
    Action,
    Rule,
    RuleKind,
)

PATTERN_CHARS_MAX: Final = 512
CONDITIONS_MAX: Final = 20
ACTIONS_MAX: Final = 20
CONDITIONS_BYTES_MAX: Final = 8 * 1024
ACTIONS_BYTES_MAX: Final = 1024

# "Clients and homeservers MUST ignore these actions, for instance, by stripping them".
_HISTORICAL_ACTIONS: Final = frozenset({"dont_notify", "coalesce"})
_WITH_KEY: Final = frozenset(
    {
        "event_match",
        "event_property_is",
        "event_property_contains",
        "sender_notification_permission",
    }
)
_WITH_VALUE: Final = frozenset({"event_property_is", "event_property_contains"})


def parse_kind(raw: str) -> RuleKind:
    """The kind of a rule.

    Raises:
        NotFound: there is no such kind.
    """
    try:
        return RuleKind(raw)
    except ValueError:
        raise NotFound(f"there is no kind {raw!r} of push rules") from None


def parse_rule(
    kind: RuleKind,
    rule_id: str,
    *,
    actions: Sequence[object] | None,
    conditions: Sequence[object] | None,
    pattern: object,
) -> Rule:
    """A rule as a client sets it.

    Raises:
        MissingParam: something of it is missing.
        InvalidParam: users have no rules of this kind, its ID can't be a client's, or
            something has no such form or is too long.
        BadJson: something is of another type.
    """
    if kind is RuleKind.POSTCONTENT:
        raise InvalidParam("there are no rules of this kind but the server's")
    if rule_id.startswith(".") or not rule_id:
        raise InvalidParam("rule IDs that begin with a dot are the server's")
    if "/" in rule_id or "\\" in rule_id:
        raise InvalidParam("a rule ID has neither slashes nor backslashes")
    if len(rule_id.encode()) > ID_BYTES_MAX:
        raise InvalidParam(f"a rule ID has at most {ID_BYTES_MAX} bytes")
    is_content = kind is RuleKind.CONTENT
    has_conditions = kind in {RuleKind.OVERRIDE, RuleKind.UNDERRIDE}
    return Rule(
        rule_id,
        parse_actions(actions),
        conditions=_conditions(conditions or ()) if has_conditions else None,
        pattern=_pattern(pattern) if is_content else None,
    )


def parse_actions(raw: Sequence[object] | None) -> tuple[Action, ...]:
    """The actions of a rule, without those that are history.

    Raises:
        MissingParam: there are none.
        InvalidParam: one is unknown, or they are too many.
        BadJson: one is neither a string nor an object.
    """
    if raw is None:
        raise MissingParam("a push rule has actions")
    if len(raw) > ACTIONS_MAX or len(json.encode(raw)) > ACTIONS_BYTES_MAX:
        raise InvalidParam(
            f"a push rule has at most {ACTIONS_MAX} actions of"
            f" {ACTIONS_BYTES_MAX} bytes together"
        )
    return tuple(_action(each) for each in raw if not _is_historical(each))


def _is_historical(action: object) -> bool:
    return isinstance(action, str) and action in _HISTORICAL_ACTIONS


def _action(raw: object) -> Action:
    if isinstance(raw, str):
        if raw != NOTIFY:
            raise InvalidParam(f"there is no action {raw!r}")
        return raw
    if not isinstance(raw, dict):
        raise BadJson("an action is a string or an object")
    if not isinstance(raw.get(SET_TWEAK), str):
        raise InvalidParam("an action that is an object sets a tweak")
    return raw


def _conditions(raw: Sequence[object]) -> tuple[Mapping[str, Any], ...]:
    if len(raw) > CONDITIONS_MAX or len(json.encode(raw)) > CONDITIONS_BYTES_MAX:
        raise InvalidParam(
            f"a push rule has at most {CONDITIONS_MAX} conditions of"
            f" {CONDITIONS_BYTES_MAX} bytes together"
        )
    return tuple(map(_condition, raw))


def _condition(raw: object) -> Mapping[str, Any]:
    """A condition that is of a known kind is complete; others only have a kind."""
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        raise BadJson("a condition is an object with a kind")
    kind = raw["kind"]
    if kind in _WITH_KEY and not isinstance(raw.get("key"), str):
        raise InvalidParam(f"a condition {kind} has a key")
    if kind == "event_match":
        _pattern(raw.get("pattern"))
    if kind in _WITH_VALUE and not ("value" in raw and is_scalar(raw["value"])):
        raise InvalidParam(f"a condition {kind} has a value that is not compound")
    if kind == "room_member_count" and parse_member_count(raw.get("is")) is None:
        raise InvalidParam("a condition room_member_count says how many there are")
    return raw


def _pattern(raw: object) -> str:
    if raw is None:
        raise MissingParam("there is no pattern")
    if not isinstance(raw, str):
        raise BadJson("a pattern is a string")
    if len(raw) > PATTERN_CHARS_MAX:
        raise InvalidParam(f"a pattern has at most {PATTERN_CHARS_MAX} characters")
    return raw
