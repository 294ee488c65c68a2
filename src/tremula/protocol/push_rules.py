"""A user's push rules (CS "Push Rules"): what differs from the predefined ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from msgspec import Struct, json
from msgspec.structs import replace

from tremula.protocol.errors import InvalidParam, NotFound
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.predefined_push_rules import MASTER, PREDEFINED
from tremula.protocol.push_conditions import OWN_ID
from tremula.protocol.push_rule_values import Action, Rule, RuleChange, RuleKind

RULES_MAX: Final = 1_000
"""How many rules of their own a user may have."""

RULES_BYTES_MAX: Final = 128 * 1024
"""How much all that a user has set may take, as JSON."""


class OwnRules(Struct, frozen=True, omit_defaults=True):
    """A user's own rules, the most important of each kind first, and what they have
    changed of the predefined ones, by rule ID.
    """

    override: tuple[Rule, ...] = ()
    content: tuple[Rule, ...] = ()
    room: tuple[Rule, ...] = ()
    sender: tuple[Rule, ...] = ()
    underride: tuple[Rule, ...] = ()
    predefined: dict[str, RuleChange] = {}
    postcontent: ClassVar[tuple[Rule, ...]] = ()

    def of_kind(self, kind: RuleKind) -> tuple[Rule, ...]:
        """The user's own rules of one kind."""
        rules: tuple[Rule, ...] = getattr(self, kind)
        return rules

    def predefined_of(self, kind: RuleKind) -> list[Rule]:
        """The predefined rules of one kind, as the user has changed them."""
        return [
            _changed(rule, self.predefined.get(rule.rule_id))
            for rule in PREDEFINED.get(kind, ())
        ]

    def ordered(self, kind: RuleKind) -> Iterator[tuple[Rule, bool]]:
        """All rules of one kind, the most important first; True for predefined ones."""
        predefined = self.predefined_of(kind)
        # "Server-default rules operate at a lower priority than user-defined rules,
        # except for the .m.rule.master rule".
        first = [rule for rule in predefined if rule.rule_id == MASTER]
        yield from ((rule, True) for rule in first)
        yield from ((rule, False) for rule in self.of_kind(kind))
        yield from ((rule, True) for rule in predefined if rule.rule_id != MASTER)

    def get(self, kind: RuleKind, rule_id: str) -> tuple[Rule, bool]:
        """The rule of this ID, and whether it is a predefined one.

        Raises:
            NotFound: there is none.
        """
        for rule, is_predefined in self.ordered(kind):
            if rule.rule_id == rule_id:
                return rule, is_predefined
        raise NotFound(f"there is no push rule {rule_id!r} of this kind")

    def encoded(self) -> bytes:
        """As it is stored: the same for the same rules."""
        return json.encode(self)

    @classmethod
    def decoded(cls, raw: bytes) -> "OwnRules":
        """What was stored."""
        return json.decode(raw, type=cls)

    def with_rule(
        self,
        kind: RuleKind,
        rule: Rule,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> "OwnRules":
        """These rules with *rule*, instead of the one of its ID.

        It becomes the next more important one than the user's rule *before*, or else
        the next less important one than *after*; or it stays where it is, or is the
        most important one if it is new.

        Raises:
            InvalidParam: there is no such other rule of the user; or there are too
                many.
        """
        rules = list(self.of_kind(kind))
        ids = [each.rule_id for each in rules]
        at = ids.index(rule.rule_id) if rule.rule_id in ids else None
        if at is not None:
            # "Rules MUST be enabled by default" when they are created.
            rule = replace(rule, enabled=rules[at].enabled)
            del rules[at]
            del ids[at]
        if before is not None:
            at = _place_of(before, ids)
        elif after is not None:
            at = _place_of(after, ids) + 1
        rules.insert(at or 0, rule)
        return self._with(kind, rules)

    def without_rule(self, kind: RuleKind, rule_id: str) -> "OwnRules":
        """These rules without one of the user's own.

        Raises:
            NotFound: they have none of this ID.
        """
        rules = [each for each in self.of_kind(kind) if each.rule_id != rule_id]
        if len(rules) == len(self.of_kind(kind)):
            raise NotFound(f"{rule_id!r} is no push rule of the user's own")
        return self._with(kind, rules)

    def with_enabled(
        self, kind: RuleKind, rule_id: str, *, enabled: bool
    ) -> "OwnRules":
        """These rules with one enabled or not.

        Raises:
            NotFound: there is none of this ID.
        """
        return self._with_change(kind, rule_id, RuleChange(enabled=enabled))

    def with_actions(
        self, kind: RuleKind, rule_id: str, actions: Sequence[Action]
    ) -> "OwnRules":
        """These rules with other actions for one of them.

        Raises:
            NotFound: there is none of this ID.
        """
        return self._with_change(kind, rule_id, RuleChange(actions=tuple(actions)))

    def to_json(self, user_id: UserId) -> dict[str, list[dict[str, Any]]]:
        """All rules of *user_id* by kind, as clients see them."""
        return {
            kind.value: [
                rule_json(rule, user_id, is_predefined=is_predefined)
                for rule, is_predefined in self.ordered(kind)
            ]
            for kind in RuleKind
        }

    def _with(self, kind: RuleKind, rules: Sequence[Rule]) -> "OwnRules":
        changed: OwnRules = replace(self, **{kind: tuple(rules)})
        if sum(len(changed.of_kind(each)) for each in RuleKind) > RULES_MAX:
            raise InvalidParam(f"a user has at most {RULES_MAX} push rules")
        return changed

    def _with_change(
        self, kind: RuleKind, rule_id: str, change: RuleChange
    ) -> "OwnRules":
        rule, is_predefined = self.get(kind, rule_id)
        changed = _changed(rule, change)
        if not is_predefined:
            rules = [changed if each is rule else each for each in self.of_kind(kind)]
            return self._with(kind, rules)
        [original] = [each for each in PREDEFINED[kind] if each.rule_id == rule_id]
        predefined = {**self.predefined, rule_id: _difference(changed, original)}
        # What is as it was predefined is not kept.
        kept = {key: each for key, each in predefined.items() if each != RuleChange()}
        return replace(self, predefined=dict(sorted(kept.items())))


def moved_to_room(rules: OwnRules, old: RoomId, successor: RoomId) -> OwnRules:
    """*rules* with those that are named after the room *old* for *successor* as well,
    unless it has some already.
    """
    for kind in RuleKind:
        ids = [rule.rule_id for rule in rules.of_kind(kind)]
        if old in ids and successor not in ids:
            rule = rules.of_kind(kind)[ids.index(old)]
            rules = rules.with_rule(kind, _for_room(rule, old, successor), after=old)
    return rules


def rule_json(rule: Rule, user_id: UserId, *, is_predefined: bool) -> dict[str, Any]:
    """One rule of *user_id*, as clients see it."""
    shown: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "default": is_predefined,
        "enabled": rule.enabled,
        "actions": rule.actions,
    }
    if rule.pattern is not None:
        shown["pattern"] = rule.pattern
    if rule.conditions is not None:
        shown["conditions"] = rule.conditions
        if is_predefined:
            shown["conditions"] = [_named(each, user_id) for each in rule.conditions]
    return shown


def _named(condition: Mapping[str, Any], user_id: UserId) -> dict[str, Any]:
    return {
        key: user_id if value == OWN_ID else value for key, value in condition.items()
    }


def _changed(rule: Rule, change: RuleChange | None) -> Rule:
    if change is None:
        return rule
    return replace(
        rule,
        enabled=rule.enabled if change.enabled is None else change.enabled,
        actions=rule.actions if change.actions is None else change.actions,
    )


def _difference(changed: Rule, original: Rule) -> RuleChange:
    return RuleChange(
        None if changed.enabled is original.enabled else changed.enabled,
        None if changed.actions == original.actions else changed.actions,
    )


def _for_room(rule: Rule, old: RoomId, successor: RoomId) -> Rule:
    conditions = rule.conditions
    if conditions is not None:
        conditions = tuple(
            {key: successor if value == old else value for key, value in each.items()}
            for each in conditions
        )
    return replace(rule, rule_id=successor, conditions=conditions)


def _place_of(rule_id: str, ids: Sequence[str]) -> int:
    if rule_id not in ids:
        raise InvalidParam(f"{rule_id!r} is no other push rule of the user's own")
    return ids.index(rule_id)


Edit = Callable[[OwnRules], OwnRules]
"""Makes other rules of a user's."""
