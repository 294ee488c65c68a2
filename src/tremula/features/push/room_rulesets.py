"""The different rulesets of those of our users who are in a room."""

from collections.abc import Iterable, Iterator
from typing import Final
from weakref import WeakValueDictionary

from tremula.protocol.identifiers import UserId
from tremula.protocol.push_evaluation import (
    PREDEFINED_KEY,
    Ruleset,
    key_of,
    rules_in,
)
from tremula.protocol.push_rules import OwnRules

PREDEFINED: Final = Ruleset(PREDEFINED_KEY, OwnRules())


class Rulesets:
    """Compiled rulesets by key, as long as somebody has them."""

    def __init__(self) -> None:
        self._rulesets: WeakValueDictionary[str, Ruleset] = WeakValueDictionary()

    def of(self, rules: OwnRules, room_id: str) -> Ruleset:
        """What *rules* come to in a room."""
        counting = rules_in(rules, room_id)
        key = key_of(counting)
        if key == PREDEFINED_KEY:
            return PREDEFINED
        ruleset = self._rulesets.get(key)
        if ruleset is None:
            without_own = OwnRules(predefined=counting.predefined)
            base = None
            if counting != without_own:
                base = self.of(without_own, room_id)
            ruleset = self._rulesets[key] = Ruleset(key, counting, base)
        return ruleset


class RoomRulesets:
    """The rulesets of a room's local members.

    The rules of ``unknown`` members have not been read yet. ``names`` are the display
    names of those whose rules ask for them; None: not known yet.
    """

    __slots__ = ("_counts", "_others", "names", "unknown")

    def __init__(self, members: Iterable[UserId]) -> None:
        self.unknown = set(members)
        self.names: dict[UserId, str | None] = {}
        # Members whose rules are not the predefined ones, and how many have the same.
        self._others: dict[UserId, Ruleset] = {}
        self._counts: dict[Ruleset, int] = {}

    @property
    def are_predefined(self) -> bool:
        """Whether no member has other rules than the predefined ones."""
        return not self._counts

    @property
    def know_threads(self) -> bool:
        """Whether it counts for anybody who is subscribed to a thread."""
        return any(ruleset.knows_threads for ruleset in self._counts)

    def put(self, user_id: UserId, ruleset: Ruleset) -> None:
        """A member's rules are known, or have changed."""
        self.discard(user_id)
        if ruleset is PREDEFINED:
            return
        self._others[user_id] = ruleset
        self._counts[ruleset] = self._counts.get(ruleset, 0) + 1
        if ruleset.knows_names:
            self.names[user_id] = None

    def discard(self, user_id: UserId) -> None:
        """Forget who is no member any more."""
        self.unknown.discard(user_id)
        self.names.pop(user_id, None)
        ruleset = self._others.pop(user_id, None)
        if ruleset is None:
            return
        self._counts[ruleset] -= 1
        if not self._counts[ruleset]:
            del self._counts[ruleset]

    def of(self, user_id: UserId) -> Ruleset:
        """The rules of a member."""
        return self._others.get(user_id, PREDEFINED)

    def of_others(self, members_count: int, sender: UserId | None) -> Iterator[Ruleset]:
        """The different rulesets of the *members_count* members, but for *sender* if
        that is one of them.
        """
        own = None if sender is None else self.of(sender)
        for ruleset, count in self._counts.items():
            if count > (ruleset is own):
                yield ruleset
        if members_count - len(self._others) > (own is PREDEFINED):
            yield PREDEFINED
