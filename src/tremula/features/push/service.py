"""What each user wants to be notified of."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

from tremula.features.account_data.service import announce_push_rules
from tremula.features.push import storage
from tremula.features.push.marks import TOPIC as MARKS_TOPIC
from tremula.features.push.marks import EventMarks
from tremula.features.push.notified import Notified, NotifiedEvents
from tremula.features.push.user_rules import UserRules
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.push_rule_values import Action, Rule, RuleKind
from tremula.protocol.push_rules import (
    RULES_BYTES_MAX,
    Edit,
    OwnRules,
    moved_to_room,
    rule_json,
)
from tremula.rooms.memberships import Memberships

__all__ = [
    "MARKS_TOPIC",
    "TOPIC",
    "EventMarks",
    "Notified",
    "NotifiedEvents",
    "PushRules",
]

TOPIC: Final = "push_rules"
"""Announced by user ID, with what the user has set as payload, encoded."""

_CACHE_BYTES: Final = 16 * 1024 * 1024
_ROOMS_PER_UNIT: Final = 500


class PushRules(Struct, frozen=True):
    """The rules of our users."""

    db: Reader
    journal: Journal
    memberships: Memberships
    cache: ByteLRU[UserId, UserRules] = field(
        default_factory=lambda: ByteLRU(_CACHE_BYTES)
    )
    _changing: KeyedLocks[UserId] = field(default_factory=KeyedLocks[UserId])

    def __post_init__(self) -> None:
        self.journal.subscribe(TOPIC, self._forget)
        self.journal.on_forget(self.cache.clear)

    async def of(self, user_id: UserId) -> UserRules:
        """The user's rules; no query if they were asked for lately."""
        rules = self.cache.get(user_id)
        if rules is not None:
            return rules
        before = self.journal.changed_pos(TOPIC, user_id)
        rules = await self._read(user_id)
        # What has changed while it was being read must not be kept.
        if self.journal.changed_pos(TOPIC, user_id) == before:
            self.cache.put(user_id, rules, rules.size_bytes)
        return rules

    async def content(self, user_id: UserId) -> dict[str, Any]:
        """The content of the user's ``m.push_rules``: all rulesets by name."""
        return _content(user_id, (await self.of(user_id)).rules)

    async def changed_pos(self, user_id: UserId) -> int:
        """The journal position since which the rules are as they are."""
        return (await self.of(user_id)).pos

    async def get_rule(
        self, user_id: UserId, kind: RuleKind, rule_id: str
    ) -> dict[str, Any]:
        """One rule of the user.

        Raises:
            NotFound: there is no such rule.
        """
        rule, is_predefined = (await self.of(user_id)).rules.get(kind, rule_id)
        return rule_json(rule, user_id, is_predefined=is_predefined)

    async def set_rule(
        self,
        user_id: UserId,
        kind: RuleKind,
        rule: Rule,
        *,
        before: str | None,
        after: str | None,
    ) -> None:
        """Add a rule of the user's own, or replace the one of its ID.

        Raises:
            InvalidParam: *before* or *after* is no such other rule; a bound is passed.
        """
        await self._edit(
            user_id, lambda own: own.with_rule(kind, rule, before=before, after=after)
        )

    async def delete_rule(self, user_id: UserId, kind: RuleKind, rule_id: str) -> None:
        """Remove a rule of the user's own.

        Raises:
            NotFound: there is none of this ID.
        """
        await self._edit(user_id, lambda own: own.without_rule(kind, rule_id))

    async def set_enabled(
        self, user_id: UserId, kind: RuleKind, rule_id: str, *, enabled: bool
    ) -> None:
        """Enable a rule, or disable it.

        Raises:
            NotFound: there is no such rule.
        """
        await self._edit(
            user_id, lambda own: own.with_enabled(kind, rule_id, enabled=enabled)
        )

    async def set_actions(
        self, user_id: UserId, kind: RuleKind, rule_id: str, actions: Sequence[Action]
    ) -> None:
        """Change what follows from a rule.

        Raises:
            NotFound: there is no such rule.
        """
        await self._edit(user_id, lambda own: own.with_actions(kind, rule_id, actions))

    async def carry_over(self, user_id: UserId, old: RoomId, successor: RoomId) -> None:
        """Have what the user's rules say of a room hold in its successor, too.

        Raises:
            InvalidParam: a bound is passed.
        """
        await self._edit(user_id, lambda own: moved_to_room(own, old, successor))

    async def erase(self, user_id: UserId) -> None:
        """Remove everything of a user who is gone."""
        nids = list(await self.memberships.of_user(user_id))
        unit = self.journal.unit()
        for start in range(0, max(len(nids), 1), _ROOMS_PER_UNIT):
            storage.delete_user(unit, user_id, nids[start : start + _ROOMS_PER_UNIT])
        unit.announce(TOPIC, user_id, OwnRules().encoded(), pos=unit.pos())
        await self.journal.commit(unit)

    async def _edit(self, user_id: UserId, edit: Edit) -> None:
        async def attempt() -> None:
            before = await self._read(user_id)
            after = edit(before.rules)
            if after != before.rules:
                await self._write(user_id, before, after)

        async with self._changing.of(user_id):
            await reread_on_conflict(attempt)

    async def _write(self, user_id: UserId, before: UserRules, after: OwnRules) -> None:
        encoded = after.encoded()
        if len(encoded) > RULES_BYTES_MAX:
            raise InvalidParam(f"push rules have at most {RULES_BYTES_MAX} bytes")
        unit = self.journal.unit()
        pos = unit.pos()
        storage.replace_rules(unit, user_id, encoded, seen_pos=before.pos, pos=pos)
        storage.insert_past(unit, user_id, before.ended_by(after, pos))
        size_bytes = 256 + len(encoded)
        unit.announce(TOPIC, user_id, encoded, pos=pos, size_bytes=size_bytes)
        announce_push_rules(unit, user_id, _content(user_id, after), pos=pos)
        await self.journal.commit(unit)

    async def _read(self, user_id: UserId) -> UserRules:
        stored = await storage.find_rules(self.db, user_id)
        if stored is None:
            return UserRules.of(OwnRules())
        past = await storage.past_rulesets(self.db, user_id)
        return UserRules.of(OwnRules.decoded(stored.rules), stored.pos, past)

    def _forget(self, _pos: int, user_id: object, _rules: object) -> None:
        assert isinstance(user_id, str)
        self.cache.discard(UserId(user_id))


def _content(user_id: UserId, rules: OwnRules) -> dict[str, Any]:
    return {"global": rules.to_json(user_id)}
