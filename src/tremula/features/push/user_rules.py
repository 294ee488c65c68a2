"""What one user's rules come to in each room, now and before."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.push.storage import PastRuleset
from tremula.protocol.push_evaluation import key_of, rooms_named, rules_in
from tremula.protocol.push_rules import OwnRules

_ELSEWHERE: Final = ""
_EVER: Final = 2**62


class Span(Struct, frozen=True):
    """Whose marks count for a user: the key of their rules in a room, from after a
    journal position up to another.
    """

    ruleset: str
    after_pos: int
    until_pos: int


class UserRules(Struct, frozen=True):
    """A user's rules since the journal position ``pos``, and the keys they had before,
    oldest first. ``keys`` are by room, in lower case, where the rules name it.
    """

    rules: OwnRules
    pos: int
    past: tuple[PastRuleset, ...]
    keys: dict[str, str]

    @classmethod
    def of(
        cls, rules: OwnRules, pos: int = 0, past: Sequence[PastRuleset] = ()
    ) -> "UserRules":
        """The rules with their keys: in the rooms that they name, and elsewhere."""
        keys = {
            named: key_of(rules_in(rules, room_id))
            for named, room_id in rooms_named(rules).items()
        }
        keys[_ELSEWHERE] = key_of(rules_in(rules, _ELSEWHERE))
        return cls(rules, pos, tuple(past), keys)

    def key_in(self, room_id: str) -> str:
        """The key of the rules in a room."""
        if len(self.keys) == 1:
            return self.keys[_ELSEWHERE]
        return self.keys.get(room_id.lower(), self.keys[_ELSEWHERE])

    def spans_in(self, room_id: str) -> list[Span]:
        """The keys in a room at all times, the oldest first."""
        named = room_id.lower()
        spans: list[Span] = []
        after_pos = 0
        for at, each in enumerate(self.past):
            if each.room_id not in {_ELSEWHERE, named}:
                continue
            # Of two at one position that of the room itself counts, which comes second.
            if at + 1 < len(self.past) and _is_for(self.past[at + 1], each, named):
                continue
            _extend(spans, Span(each.ruleset, after_pos, each.until_pos))
            after_pos = each.until_pos
        _extend(spans, Span(self.key_in(room_id), after_pos, _EVER))
        return spans

    def key_at(self, room_id: str, pos: int) -> str:
        """The key in a room at a journal position."""
        if pos > self.pos:
            return self.key_in(room_id)
        spans = self.spans_in(room_id)
        return next(each.ruleset for each in spans if pos <= each.until_pos)

    def ended_by(self, after: OwnRules, pos: int) -> list[PastRuleset]:
        """What has to be remembered if *after* are the rules from *pos* on."""
        successor = UserRules.of(after)
        rooms = sorted({*self.keys, *successor.keys})
        is_other = successor.keys[_ELSEWHERE] != self.keys[_ELSEWHERE]
        return [
            PastRuleset(pos, room_id, self.key_in(room_id))
            for room_id in rooms
            if successor.key_in(room_id) != self.key_in(room_id)
            or (is_other and room_id in self.keys)
        ]

    @property
    def size_bytes(self) -> int:
        """Roughly what this takes in memory."""
        return 600 + 4 * len(self.rules.encoded()) + 150 * len(self.past)


def _is_for(later: PastRuleset, each: PastRuleset, named: str) -> bool:
    return later.until_pos == each.until_pos and later.room_id == named


def _extend(spans: list[Span], span: Span) -> None:
    if spans and spans[-1].ruleset == span.ruleset:
        span = Span(span.ruleset, spans[-1].after_pos, span.until_pos)
        spans.pop()
    spans.append(span)
