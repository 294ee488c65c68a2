"""What is told with an event of those that relate to it (CS "Aggregations of child
events"): its newest edit, references to it, its thread.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct, field

from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.history_visibility import Viewer
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.relations import REPLACE, relation_of
from tremula.rooms import relations_storage
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.relations import TOPIC
from tremula.rooms.relations_storage import Child, Participant

REFERENCES_MAX: Final = 1_000
"""How many references to an event are listed: the newest."""

_PARENTS_PER_QUERY: Final = 500
_EVERYWHERE: Final = (-END_POS, END_POS)


class IgnoredUsers(Protocol):
    """Knows whose events a user does not want to see."""

    async def ignored_users(self, user_id: UserId) -> frozenset[UserId]:
        """Whom *user_id* ignores."""
        ...


class Thread(Struct, frozen=True):
    """What a user may know of a thread."""

    newest: StoredEvent
    count: int
    participated: bool


class Aggregation(Struct, frozen=True):
    """What is told with an event; ``references`` are the events' IDs, oldest first."""

    edit: StoredEvent | None = None
    references: Sequence[EventId] = ()
    thread: Thread | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.edit or self.references or self.thread)


class _Children(Struct, frozen=True):
    """What relates to one event and is aggregated."""

    edits: list[Child] = field(default_factory=list[Child])
    references: list[Child] = field(default_factory=list[Child])
    participants: list[Participant] = field(default_factory=list[Participant])

    @property
    def edit(self) -> Child | None:
        """The newest edit: of those that are equally new "the lexicographically
        largest `event_id`".
        """
        return max(self.edits, key=lambda each: each.event_id, default=None)

    @property
    def newest(self) -> Participant | None:
        """Who spoke last in the thread."""
        return max(self.participants, key=lambda each: each.room_pos, default=None)


class Aggregations:
    """Reads aggregations. Which events cannot have any is known from memory."""

    def __init__(self, db: Reader, journal: Journal, events: EventStore) -> None:
        self._db = db
        self._journal = journal
        self._events = events
        self._ignored: IgnoredUsers | None = None

    def set_ignored_users(self, ignored: IgnoredUsers) -> None:
        """Ask *ignored*, which is built later than the room engine."""
        self._ignored = ignored

    async def of(
        self, room_nid: int, events: Sequence[StoredEvent], viewer: Viewer
    ) -> Mapping[int, Aggregation]:
        """The aggregations of those of *events*, all of one room, that have one, by
        their numbers, as *viewer* may know of them.

        None for events that are known to have no children. Else one query for 500
        events and one for what is to be shown; one more for threads of which *viewer*
        may see a part only.
        """
        parents = self._parents(room_nid, events)
        if not parents:
            return {}
        children = await self._children(room_nid, parents, viewer)
        if not children:
            return {}
        shown = await self._events.by_nids(_shown_nids(children.values()))
        found = {
            parent.event_nid: _aggregation(
                parent, children[parent.event_id], shown, viewer.user_id
            )
            for parent in parents
            if parent.event_id in children
        }
        return {nid: each for nid, each in found.items() if each}

    def _parents(
        self, room_nid: int, events: Sequence[StoredEvent]
    ) -> list[StoredEvent]:
        """Those of *events* that may have children.

        "State events do not currently receive bundled aggregations."
        """
        changed_pos = self._journal.changed_pos(TOPIC, room_nid)
        unsure = [
            event
            for event in events
            if event.childless_pos < changed_pos and not event.is_state
        ]
        if not unsure:
            return []
        oldest_pos = min(event.childless_pos for event in unsure)
        news = self._journal.tail(TOPIC, room_nid, oldest_pos)
        if news is None:
            return unsure
        named = {parent_id for _, parent_id in news}
        return [event for event in unsure if event.event_id in named]

    async def _children(
        self, room_nid: int, parents: Sequence[StoredEvent], viewer: Viewer
    ) -> Mapping[EventId, _Children]:
        """Those of *parents* that *viewer* sees, and does not ignore who sent them."""
        assert self._ignored is not None, "set_ignored_users() comes first"
        found: defaultdict[EventId, _Children] = defaultdict(_Children)
        ignored = await self._ignored.ignored_users(viewer.user_id)
        for start in range(0, len(parents), _PARENTS_PER_QUERY):
            part = parents[start : start + _PARENTS_PER_QUERY]
            children, participants = await self._read(room_nid, part, viewer)
            for child in children:
                if child.sender not in ignored and viewer.can_see(child):
                    of_parent = found[child.parent_id]
                    is_edit = child.rel_type == REPLACE
                    (of_parent.edits if is_edit else of_parent.references).append(child)
            for each in participants:
                if each.sender not in ignored and viewer.can_see(each):
                    found[each.root_id].participants.append(each)
        return found

    async def _read(
        self, room_nid: int, parents: Sequence[StoredEvent], viewer: Viewer
    ) -> tuple[list[Child], list[Participant]]:
        sees_all = viewer.sees_all_after(min(event.room_pos for event in parents))
        span = _EVERYWHERE if sees_all else viewer.narrow(_EVERYWHERE)
        as_of = self._journal.position
        children, participants = await relations_storage.aggregated(
            self._db,
            room_nid,
            [event.event_id for event in parents],
            span=span,
            references_max=REFERENCES_MAX,
        )
        if sees_all:
            related = {each.parent_id for each in children}
            related |= {each.root_id for each in participants}
            for event in parents:
                if event.event_id not in related:
                    event.childless_pos = max(event.childless_pos, as_of)
        elif participants:
            roots = list({each.root_id for each in participants})
            participants = await relations_storage.participants_within(
                self._db, room_nid, roots, span=span
            )
        return children, participants


def _shown_nids(children: Iterable[_Children]) -> Iterator[int]:
    for each in children:
        if each.edit is not None:
            yield each.edit.event_nid
        if each.newest is not None:
            yield each.newest.event_nid


def _aggregation(
    parent: StoredEvent,
    children: _Children,
    shown: Mapping[int, StoredEvent],
    user_id: UserId,
) -> Aggregation:
    relation = relation_of(parent.content)
    edit, newest, thread = children.edit, children.newest, None
    # "It is not possible to create a thread from an event which itself is the child of
    # an event relationship."
    if newest is not None and relation is None:
        senders = {each.sender for each in children.participants}
        thread = Thread(
            newest=shown[newest.event_nid],
            count=sum(each.count for each in children.participants),
            participated=user_id in senders or user_id == parent.sender,
        )
    # "The original event must not, itself, have a `rel_type` of `m.replace`." "If the
    # original event is redacted, any `m.replace` relationship should not be bundled."
    is_edit = relation is not None and relation.rel_type == REPLACE
    is_editable = not is_edit and parent.redacted_by_nid is None
    return Aggregation(
        edit=shown[edit.event_nid] if edit and is_editable else None,
        references=[
            each.event_id
            for each in sorted(children.references, key=lambda each: each.room_pos)
        ],
        thread=thread,
    )
