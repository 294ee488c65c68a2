"""Which rule an event meets, and what follows (CS "Push Rules")."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct, json
from msgspec.structs import replace

from tremula.protocol.base64 import encode_base64_urlsafe
from tremula.protocol.push_conditions import (
    PROPERTY_IS,
    THREAD_SUBSCRIPTION,
    Condition,
    PushEvent,
    Reader,
    compile_condition,
    content_key_of,
    equals,
    in_body,
    literal_type,
)
from tremula.protocol.push_rule_values import (
    HIGHLIGHT,
    NOTIFY,
    SET_TWEAK,
    Action,
    Rule,
    RuleKind,
)
from tremula.protocol.push_rules import OwnRules

_KEY_BYTES: Final = 16

PREDEFINED_KEY: Final = ""
"""The key of the rules of whoever has changed nothing that counts."""


class Outcome(Struct, frozen=True):
    """What the actions of a rule come to; ``actions`` are JSON."""

    notifies: bool
    highlights: bool
    actions: str

    @classmethod
    def of(cls, actions: tuple[Action, ...]) -> "Outcome":
        """The outcome of a rule's actions."""
        notifies = NOTIFY in actions
        return cls(
            notifies,
            notifies and any(map(_highlights, actions)),
            json.encode(actions if notifies else ()).decode(),
        )


NOTHING: Final = Outcome.of(())


class _Compiled(Struct, frozen=True):
    """A rule for events of ``event_type``, in lower case, or of any type, which have
    ``content_key`` in their content, unless that is None.
    """

    event_type: str | None
    content_key: str | None
    conditions: tuple[Condition, ...]
    outcome: Outcome


class _Rules:
    """Rules in their order, by the types that they ask for: most look at one type, so
    that few are left to be asked about an event.
    """

    __slots__ = ("_by_type", "_of_any_type")

    def __init__(self, rules: Sequence[_Compiled]) -> None:
        named = {rule.event_type for rule in rules if rule.event_type is not None}
        self._by_type = {each: _that_look_at(rules, each) for each in named}
        self._of_any_type = _that_look_at(rules, None)

    def met(self, event: PushEvent, reader: Reader) -> _Compiled | None:
        """The first rule that *event* meets."""
        content = event.content
        for rule in self._by_type.get(event.asked_type, self._of_any_type):
            if rule.content_key is not None and rule.content_key not in content:
                continue
            for condition in rule.conditions:
                if not condition(event, reader):
                    break
            else:
                return rule
        return None


class Ruleset:
    """The rules of whoever has the same ones, compiled.

    ``base`` are those without the users' own, which many have in common; None: these
    are such. ``knows_names``: some ask for the user's display name; ``knows_threads``:
    or whether the user is subscribed to a thread.
    """

    __slots__ = (
        "__weakref__",
        "_compiled",
        "_own",
        "_rules",
        "base",
        "key",
        "knows_names",
        "knows_threads",
    )

    def __init__(
        self, key: str, rules: OwnRules, base: "Ruleset | None" = None
    ) -> None:
        self.key = key
        self.base = base
        self.knows_names = _asks_for(rules, "contains_display_name")
        self.knows_threads = _asks_for(rules, THREAD_SUBSCRIPTION)
        self._rules = rules
        # Most are never asked for more than whether their own rules are met.
        self._compiled: _Rules | None = None
        self._own = _Rules(
            [
                compiled
                for kind in RuleKind
                for rule in rules.of_kind(kind)
                if (compiled := _compile(kind, rule, is_predefined=False))
            ]
        )

    def meets_own(self, event: PushEvent, reader: Reader) -> bool:
        """Whether *event* meets any of the users' own rules: if not, it is to *reader*
        what it is by ``base``.
        """
        event.spent = 0
        return self._own.met(event, reader) is not None

    def evaluate(self, event: PushEvent, reader: Reader) -> Outcome:
        """What *event* is to *reader*, who is not its sender."""
        event.spent = 0
        if self._compiled is None:
            self._compiled = _compile_all(self._rules)
        rule = self._compiled.met(event, reader)
        return NOTHING if rule is None else rule.outcome


def rules_in(rules: OwnRules, room_id: str) -> OwnRules:
    """Those of *rules* that may count in a room; what makes no difference is left out,
    so that they are the same for as many users as can be.
    """
    return OwnRules(
        override=_counting(rules.override, room_id),
        content=_counting(rules.content, room_id),
        room=tuple(
            rule for rule in rules.room if rule.enabled and rule.rule_id == room_id
        ),
        sender=tuple(rule for rule in rules.sender if rule.enabled),
        underride=_counting(rules.underride, room_id),
        predefined=rules.predefined,
    )


def rooms_named(rules: OwnRules) -> dict[str, str]:
    """The rooms that enabled rules name, by their name in lower case: in all others the
    rules are the same.
    """
    named = {
        room_id.lower(): room_id
        for rule in (*rules.override, *rules.underride)
        if rule.enabled
        for room_id in _rooms_of(rule)
    }
    named.update({rule.rule_id.lower(): rule.rule_id for rule in rules.room})
    return named


def key_of(rules: OwnRules) -> str:
    """What is the same for the same rules only; `PREDEFINED_KEY` if there are none."""
    if rules == OwnRules():
        return PREDEFINED_KEY
    return encode_base64_urlsafe(sha256(rules.encoded()).digest()[:_KEY_BYTES])


def _counting(rules: tuple[Rule, ...], room_id: str) -> tuple[Rule, ...]:
    return tuple(
        replace(rule, rule_id="")
        for rule in rules
        if rule.enabled
        and all(each.lower() == room_id.lower() for each in _rooms_of(rule))
    )


def _rooms_of(rule: Rule) -> Iterator[str]:
    """The rooms in which alone the rule counts, whatever their case: in none if they
    are several.
    """
    for condition in rule.conditions or ():
        if condition.get("key") != "room_id":
            continue
        pattern, value = condition.get("pattern"), condition.get("value")
        if condition.get("kind") == "event_match" and isinstance(pattern, str):
            if "*" not in pattern and "?" not in pattern:
                yield pattern
        elif condition.get("kind") == "event_property_is" and isinstance(value, str):
            yield value


def _compile_all(rules: OwnRules) -> _Rules:
    return _Rules(
        [
            compiled
            for kind in RuleKind
            for rule, is_predefined in rules.ordered(kind)
            if (compiled := _compile(kind, rule, is_predefined=is_predefined))
        ]
    )


def _that_look_at(
    rules: Iterable[_Compiled], event_type: str | None
) -> tuple[_Compiled, ...]:
    return tuple(rule for rule in rules if rule.event_type in {None, event_type})


def _compile(kind: RuleKind, rule: Rule, *, is_predefined: bool) -> _Compiled | None:
    if not rule.enabled:
        return None
    event_type = content_key = None
    if kind is RuleKind.CONTENT:
        conditions: list[Condition | None] = [in_body(rule.pattern or "")]
    elif kind is RuleKind.ROOM:
        conditions = [equals("room_id", rule.rule_id)]
    elif kind is RuleKind.SENDER:
        conditions = [equals("sender", rule.rule_id)]
    else:
        event_type, others = _split_type(rule.conditions or ())
        keys = map(content_key_of, others)
        content_key = next((key for key in keys if key is not None), None)
        conditions = [
            compile_condition(each, is_predefined=is_predefined) for each in others
        ]
    held = tuple(each for each in conditions if each is not None)
    # "Unrecognised conditions MUST NOT match any events".
    if len(held) < len(conditions):
        return None
    return _Compiled(event_type, content_key, held, Outcome.of(rule.actions))


def _split_type(
    conditions: Sequence[Mapping[str, Any]],
) -> tuple[str | None, Sequence[Mapping[str, Any]]]:
    """The one type that *conditions* ask for, if any does, and what else they do."""
    for index, condition in enumerate(conditions):
        event_type = literal_type(condition)
        if event_type is None:
            continue
        if condition["kind"] == PROPERTY_IS:
            # Which asks for the type's case as well.
            return event_type, conditions
        return event_type, [*conditions[:index], *conditions[index + 1 :]]
    return None, conditions


def _asks_for(rules: OwnRules, condition_kind: str) -> bool:
    return any(
        condition.get("kind") == condition_kind
        for kind in RuleKind
        for rule, _ in rules.ordered(kind)
        if rule.enabled
        for condition in rule.conditions or ()
    )


def _highlights(action: Action) -> bool:
    # "If a highlight tweak is given with no value, its value is defined to be true."
    if not isinstance(action, dict) or action.get(SET_TWEAK) != HIGHLIGHT:
        return False
    value: Any = action.get("value", True)
    return value is not False
