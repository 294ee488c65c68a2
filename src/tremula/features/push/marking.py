"""Marks events as they are written, in the process that holds their room.

Costs one evaluation for each of the different rulesets of the room's local members, and
for each way in which the event names some of them; no query once their rules are known.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from msgspec import Struct, field

from tremula.features.push import storage
from tremula.features.push.marks import TOPIC, EventMarks, Mark, MarksGone
from tremula.features.push.room_rulesets import PREDEFINED, RoomRulesets, Rulesets
from tremula.features.push.service import TOPIC as RULES_TOPIC
from tremula.features.push.service import PushRules
from tremula.features.push.storage import USERS_PER_QUERY
from tremula.features.thread_subscriptions.service import ThreadSubscribers
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.events import Event
from tremula.protocol.identifiers import (
    EventId,
    ServerName,
    UserId,
    server_of,
)
from tremula.protocol.push_conditions import ANYBODY, PushEvent
from tremula.protocol.push_conditions import Reader as Named
from tremula.protocol.push_evaluation import (
    NOTHING,
    PREDEFINED_KEY,
    Outcome,
    Ruleset,
)
from tremula.protocol.push_rules import OwnRules
from tremula.protocol.relations import RELATES_TO, THREAD, relation_of
from tremula.protocol.room_state import member_key
from tremula.rooms import memberships
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.marking import Upcoming
from tremula.rooms.staging import Redaction, Staged, StateAround
from tremula.rooms.state import MEMBER
from tremula.rooms.storage import UserRoom
from tremula.rooms.threads import MAIN, thread_of, thread_root
from tremula.rooms.view import RoomView

_THREADS_BYTES: Final = 4 * 1024 * 1024
_THREAD_BYTES: Final = 300
# From when an event is prepared until it is marked; others may come in between.
_SUBSCRIBED_MAX: Final = 1_000
# How often the oldest marks of a room are cleared away.
_CLEARED_EVERY: Final = 1024
_MARK_BYTES: Final = 200


class PushMarker:
    """Implements ``Marker`` of the room engine."""

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        events: EventStore,
        rules: PushRules,
        subscribers: ThreadSubscribers,
        server_name: ServerName,
    ) -> None:
        self._db = db
        self._events = events
        self._rules = rules
        self._server_name = server_name
        self._rulesets = Rulesets()
        # Of the rooms that are written to here, as long as they are in memory.
        self._rooms: WeakKeyDictionary[RoomView, RoomRulesets] = WeakKeyDictionary()
        self._views: WeakValueDictionary[int, RoomView] = WeakValueDictionary()
        self.threads: ByteLRU[EventId, str] = ByteLRU(_THREADS_BYTES)
        self._subscribers = subscribers
        # Of threads in which something is being said, where it counts for somebody.
        self._subscribed: OrderedDict[tuple[int, EventId], frozenset[UserId]]
        self._subscribed = OrderedDict()
        journal.subscribe(RULES_TOPIC, self._rules_changed)
        journal.subscribe(memberships.TOPIC, self._membership_changed)
        journal.on_forget(self._rooms.clear)

    async def prepare(self, view: RoomView, upcoming: Sequence[Upcoming]) -> None:
        """See ``Marker``. Once for all members of a room, once for each who joins."""
        rulesets = self._rooms.get(view)
        if rulesets is None:
            members = view.joined_members()
            rulesets = RoomRulesets(filter(self._is_ours, members))
            self._rooms[view] = rulesets
            self._views[view.nid] = view
        if rulesets.unknown:
            await self._learn_rules(view, rulesets)
        if None in rulesets.names.values():
            await self._learn_names(view, rulesets)
        for each in upcoming:
            if RELATES_TO in each.content or each.type == MEMBER:
                await self._learn_of(view, each)
            if rulesets.know_threads:
                await self._learn_subscribers(view, each)

    def mark(
        self, unit: JournalUnit, view: RoomView, item: Staged, around: StateAround
    ) -> None:
        """See ``Marker``."""
        if item.is_silent:
            return
        if isinstance(item.redaction, Redaction):
            self.unmark(unit, item.redaction.target, pos=item.stored.journal_pos)
        rulesets = self._rooms.get(view)
        if rulesets is None or item.stored.redacted_by_nid is not None:
            return
        thread = self._thread_of(item.event.content)
        self.threads.put(item.stored.event_id, thread, _THREAD_BYTES)
        event = PushEvent(
            item.event, member_count=view.joined_count, power_levels=around.levels
        )
        marks = self._marks(view, rulesets, item.event, event)
        self._note_name(rulesets, item.event)
        if marks:
            self._store(unit, item, thread, marks)

    def unmark(self, unit: JournalUnit, target: StoredEvent, *, pos: int) -> None:
        """Nobody is notified any more of what is redacted."""
        # Of what is older than the room is here nobody was.
        if target.room_pos <= 0:
            return
        storage.delete_marks(unit, target.room_nid, target.room_pos)
        gone = MarksGone(target.room_nid, target.room_pos)
        unit.announce(TOPIC, target.room_nid, gone, pos=pos, size_bytes=_MARK_BYTES)

    def _marks(
        self, view: RoomView, rulesets: RoomRulesets, event: Event, looked_at: PushEvent
    ) -> dict[str, Mark]:
        is_member = self._is_ours(event.sender) and view.is_joined(event.sender)
        count = view.joined_servers.get(self._server_name, 0)
        named_users = self._named(view, rulesets, event)
        if rulesets.are_predefined and not named_users:
            # As most: there is one question, if there is anybody else.
            if count <= is_member:
                return {}
            return _marks_of_all(PREDEFINED.evaluate(looked_at, ANYBODY))
        sender = event.sender if is_member else None
        for_most = _Outcomes(looked_at, ANYBODY)
        by_ruleset = {
            ruleset: for_most.of(ruleset)
            for ruleset in rulesets.of_others(count, sender)
        }
        marks = _shared_marks(by_ruleset, for_most.known.get(PREDEFINED, NOTHING))
        for_named: dict[Named, _Outcomes] = {}
        for user_id, named in named_users.items():
            ruleset = self._ruleset_of(view, rulesets, user_id)
            usual = for_most.of(ruleset) if view.is_joined(user_id) else NOTHING
            alike = for_named.setdefault(named, _Outcomes(looked_at, named))
            outcome = alike.of(ruleset)
            if outcome != usual:
                marks[user_id] = _mark(outcome, usual)
        return marks

    def _named(
        self, view: RoomView, rulesets: RoomRulesets, event: Event
    ) -> dict[UserId, Named]:
        """Those whom an event names, who look for their names, or who are subscribed to
        its thread.
        """
        mentioned = _mentioned(event)
        whose_state = self._whose_state(view, event)
        subscribed = self._subscribers_of(view, event)
        if not (mentioned or whose_state or subscribed or rulesets.names):
            # As most events.
            return {}
        members = view.joined_members()
        mentioned = {each for each in mentioned if each in members}
        named = {*mentioned, *whose_state, *rulesets.names, *subscribed}
        named.discard(event.sender)
        return {
            user_id: Named(
                user_id in mentioned,
                user_id in whose_state,
                rulesets.names.get(user_id),
                user_id in subscribed,
            )
            for user_id in named
            if self._is_ours(user_id)
        }

    def _subscribers_of(self, view: RoomView, event: Event) -> list[UserId]:
        root_id = thread_root(event.content) if self._subscribed else None
        if root_id is None:
            return []
        subscribed = self._subscribed.get((view.nid, root_id), ())
        return [user_id for user_id in subscribed if view.is_joined(user_id)]

    def _whose_state(self, view: RoomView, event: Event) -> tuple[UserId, ...]:
        """Who is the event's state key, and in the room, or invited by it."""
        if event.state_key is None:
            return ()
        user_id = UserId(event.state_key)
        if view.is_joined(user_id) or _is_invitation(event):
            return (user_id,)
        return ()

    def _ruleset_of(
        self, view: RoomView, rulesets: RoomRulesets, user_id: UserId
    ) -> Ruleset:
        if view.is_joined(user_id):
            return rulesets.of(user_id)
        rules = self._rules.cache.get(user_id)
        if rules is None:
            return PREDEFINED
        return self._rulesets.of(rules.rules, view.room_id)

    def _store(
        self,
        unit: JournalUnit,
        item: Staged,
        thread: str,
        marks: Mapping[str, Mark],
    ) -> None:
        stored = item.stored
        marked = EventMarks(
            event_nid=stored.event_nid,
            room_nid=stored.room_nid,
            room_pos=stored.room_pos,
            pos=stored.journal_pos,
            thread=thread,
            sender=stored.sender,
            marks=marks,
        )
        storage.insert_marks(unit, marked)
        if stored.room_pos % _CLEARED_EVERY == 0:
            storage.delete_old_marks(unit, stored.room_nid, newest_pos=stored.room_pos)
        unit.announce(
            TOPIC,
            stored.room_nid,
            marked,
            pos=marked.pos,
            size_bytes=_MARK_BYTES * (1 + len(marks)),
        )

    def _thread_of(self, content: Mapping[str, Any]) -> str:
        relation = relation_of(content)
        if relation is None:
            return MAIN
        if relation.rel_type == THREAD:
            return relation.event_id
        return self.threads.get(relation.event_id) or MAIN

    async def _learn_rules(self, view: RoomView, rulesets: RoomRulesets) -> None:
        asked = []
        for user_id in list(rulesets.unknown):
            known = self._rules.cache.get(user_id)
            if known is None:
                asked.append(user_id)
            else:
                rulesets.put(user_id, self._rulesets.of(known.rules, view.room_id))
        for start in range(0, len(asked), USERS_PER_QUERY):
            portion = asked[start : start + USERS_PER_QUERY]
            found = await storage.rules_of(self._db, portion)
            for user_id in portion:
                # Who was told of meanwhile is known better.
                if user_id in rulesets.unknown:
                    raw = found.get(user_id)
                    ruleset = PREDEFINED
                    if raw is not None:
                        rules = OwnRules.decoded(raw)
                        ruleset = self._rulesets.of(rules, view.room_id)
                    rulesets.put(user_id, ruleset)

    async def _learn_names(self, view: RoomView, rulesets: RoomRulesets) -> None:
        nids: dict[UserId, int] = {}
        for user_id, name in rulesets.names.items():
            member = view.state.get(member_key(user_id))
            if name is None and member is not None:
                nids[user_id] = member.event_nid
        events = await self._events.by_nids(nids.values())
        for user_id, nid in nids.items():
            if rulesets.names.get(user_id, "") is None:
                rulesets.names[user_id] = _display_name(events[nid].content)

    async def _learn_of(self, view: RoomView, event: Upcoming) -> None:
        relation = relation_of(event.content)
        if relation is not None and relation.rel_type != THREAD:
            await self._learn_thread(view, relation.event_id)
        if _is_invitation(event):
            invitee = UserId(event.state_key or "")
            if self._is_ours(invitee):
                await self._rules.of(invitee)

    async def _learn_subscribers(self, view: RoomView, event: Upcoming) -> None:
        root_id = thread_root(event.content)
        if root_id is None:
            return
        key = view.nid, root_id
        self._subscribed[key] = await self._subscribers.of(*key)
        self._subscribed.move_to_end(key)
        while len(self._subscribed) > _SUBSCRIBED_MAX:
            self._subscribed.popitem(last=False)

    async def _learn_thread(self, view: RoomView, event_id: EventId) -> None:
        if event_id in self.threads:
            return
        event = await self._events.find(view.nid, event_id)
        if event is not None:
            thread = await thread_of(self._events, event)
            self.threads.put(event_id, thread, _THREAD_BYTES)

    def _note_name(self, rulesets: RoomRulesets, event: Event) -> None:
        user_id = UserId(event.state_key or "")
        if event.type == MEMBER and user_id in rulesets.names:
            rulesets.names[user_id] = _display_name(event.content)

    def _rules_changed(self, _pos: int, user_id: object, encoded: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(encoded, bytes)
        user_id, rules = UserId(user_id), OwnRules.decoded(encoded)
        for view, rulesets in list(self._rooms.items()):
            if view.is_joined(user_id):
                rulesets.put(user_id, self._rulesets.of(rules, view.room_id))

    def _membership_changed(self, _pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        view = self._views.get(room.room_nid)
        rulesets = None if view is None else self._rooms.get(view)
        if rulesets is None:
            return
        if room.membership == "join":
            rulesets.unknown.add(UserId(user_id))
        else:
            rulesets.discard(UserId(user_id))

    def _is_ours(self, user_id: UserId) -> bool:
        return server_of(user_id) == self._server_name


class _Outcomes(Struct):
    """What an event is to those whom it names alike, by their rulesets."""

    event: PushEvent
    named: Named
    known: dict[Ruleset, Outcome] = field(default_factory=dict[Ruleset, Outcome])

    def of(self, ruleset: Ruleset) -> Outcome:
        """What it is by *ruleset*; evaluated once."""
        if ruleset.base and not ruleset.meets_own(self.event, self.named):
            return self.of(ruleset.base)
        outcome = self.known.get(ruleset)
        if outcome is None:
            outcome = self.known[ruleset] = ruleset.evaluate(self.event, self.named)
        return outcome


def _shared_marks(
    by_ruleset: Mapping[Ruleset, Outcome], predefined: Outcome
) -> dict[str, Mark]:
    """What follows by the *predefined* rules is for all, if it is for anybody; by other
    rulesets there is a mark where something else does.
    """
    usual = predefined if predefined in by_ruleset.values() else NOTHING
    marks = {
        ruleset.key: _mark(outcome, usual)
        for ruleset, outcome in by_ruleset.items()
        if outcome != usual
    }
    return marks | _marks_of_all(usual)


def _marks_of_all(outcome: Outcome) -> dict[str, Mark]:
    return {PREDEFINED_KEY: _mark(outcome, NOTHING)} if outcome.notifies else {}


def _mark(outcome: Outcome, usual: Outcome) -> Mark:
    return Mark(
        outcome.notifies - usual.notifies,
        outcome.highlights - usual.highlights,
        outcome.actions,
    )


def _mentioned(event: Event) -> Collection[UserId]:
    """CS "User and room mentions": ``m.mentions.user_ids``."""
    mentions = event.content.get("m.mentions")
    user_ids = mentions.get("user_ids") if isinstance(mentions, dict) else None
    if not isinstance(user_ids, list):
        return ()
    return [UserId(each) for each in user_ids if isinstance(each, str)]


def _is_invitation(event: Upcoming) -> bool:
    return event.type == MEMBER and event.content.get("membership") == "invite"


def _display_name(content: Mapping[str, Any]) -> str:
    name = content.get("displayname")
    return name if isinstance(name, str) else ""
