"""The write side of one room: its head, which may be ahead of what is committed."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.auth_state import AuthState
from tremula.protocol.errors import BadState
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import (
    ServerName,
    server_of,
)
from tremula.protocol.redaction import redact_client_event
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.events import (
    UNKNOWN_CHILDREN_POS,
    Draft,
    StoredEvent,
)
from tremula.rooms.events_storage import NewestEvent, ServerPart
from tremula.rooms.graph import Extremity
from tremula.rooms.head_servers import (
    NO_SERVER_CHANGES,
    HeadServers,
    ServerChanges,
)
from tremula.rooms.heads import Head, event_after
from tremula.rooms.marking import Markers
from tremula.rooms.permits import Permits
from tremula.rooms.staging import (
    EVENT_TOPIC,
    NO_GRAPH_CHANGES,
    EventWriter,
    GraphChanges,
    OwnServer,
    Redaction,
    Staged,
    StateAround,
)
from tremula.rooms.state import (
    NO_UPDATE,
    StateEvent,
    StateMap,
    StateUpdate,
    state_content,
)
from tremula.rooms.view import HISTORY_END_POS, RoomView

__all__ = ["EVENT_TOPIC", "REDACTION", "Head", "OwnServer", "Room", "redaction_of"]

REDACTION: Final = "m.room.redaction"


class Room:
    """One room of which this process is the writer.

    ``stage`` is synchronous, so that events of a room follow each other without a
    lock, and the next one is built while the last is still being committed. Whoever
    has to read in between, as received events may need, holds ``lock``.
    """

    __slots__ = (
        "_permits",
        "_servers",
        "head",
        "in_flight",
        "last_unit",
        "lock",
        "markers",
        "view",
        "writer",
    )

    def __init__(
        self,
        view: RoomView,
        newest: NewestEvent | None,
        *,
        writer: EventWriter,
        markers: Markers,
        extremities: Sequence[Extremity] = (),
    ) -> None:
        self.view = view
        self.markers = markers
        linear = (newest.extremity,) if newest else ()
        self.head = Head(
            auth=view.auth,
            state=view.state,
            extremities=tuple(extremities) or linear,
            room_pos=newest.room_pos if newest else 0,
            is_recorded=bool(extremities),
        )
        self.in_flight = 0
        self.last_unit: JournalUnit | None = None
        self.lock = asyncio.Lock()
        self.writer = writer
        # Copied when they are first asked for: most rooms are only read.
        self._servers: HeadServers | None = None
        self._permits = Permits()

    @property
    def version(self) -> RoomVersion:
        """The rules of this room."""
        return self.view.version

    @property
    def own(self) -> OwnServer:
        """This server."""
        return self.writer.own

    def stage(
        self,
        unit: JournalUnit,
        drafts: Sequence[Draft],
        *,
        now_ms: int,
        redacted: StoredEvent | None = None,
    ) -> list[Staged]:
        """Build and authorise *drafts* and add their statements to *unit*.

        They are signed if other servers are in the room, else not before these are
        given them (`WirePdus`).
        All or none: the head moves only when every draft was allowed. *redacted*
        is the event that a redaction among the drafts names, if it is known.

        Raises:
            AuthRuleViolation: a rule refuses one of the events.
            TooLarge: an event is past the size limits.
            BadJson: a content cannot be an event's.
            BadState: a draft does not replace what it says it does.
        """
        head = self.head
        is_shared = self.servers.has_others(self.own.name)
        staged = []
        for draft in drafts:
            check_replaces(head, draft)
            built = self._permits.event_after(
                head, self.view, draft, self.own, now_ms=now_ms, is_signed=is_shared
            )
            if not head.extremities:
                # RV12: the create event's hash is the room's ID, known only now.
                self.view.room_id = built.event.room_id
            head, item = self._advance(head, unit, draft, built, redacted)
            staged.append(item)
        self.commit(unit, head, staged)
        return staged

    def commit(self, unit: JournalUnit, head: Head, staged: Sequence[Staged]) -> None:
        """Add the statements of *staged* to *unit*, and move on to *head*."""
        before = self.head.state
        levels = head.auth.power_levels
        for item in staged:
            self.writer.write(unit, self.view, item)
            if item.stored.is_in_timeline:
                is_last = item is staged[-1]
                after = head.state if is_last else before.updated(item.update)
                around = StateAround(before, after, levels)
                self._tell(unit, item, around)
                self.markers.mark(unit, self.view, item, around)
                before = after
        self.head = head
        self.in_flight += 1
        unit.on_commit(lambda: self._committed(staged))
        unit.wake_rooms(self.view.joined_members(), (self.view.nid,))

    def _tell(self, unit: JournalUnit, item: Staged, around: StateAround) -> None:
        """Tell other servers, and all processes, of *item*."""
        changes = self.servers.follow(around.before, item.update)
        if changes is not NO_SERVER_CHANGES:
            self.record_servers(unit, changes, pos=item.stored.journal_pos)
        is_sent = self.writer.send(unit, self.servers.counts, item)
        self.writer.announce(unit, self.view, item, around, is_sent=is_sent)

    @property
    def servers(self) -> HeadServers:
        """The servers in the room, after all that has been written so far."""
        if self._servers is None:
            self._servers = HeadServers(dict(self.view.joined_servers))
        return self._servers

    def record_servers(
        self, unit: JournalUnit, changes: ServerChanges, *, pos: int
    ) -> None:
        """Store which servers have come or gone at the journal position *pos*."""
        self.writer.outbox.servers_changed(
            unit,
            self.view.nid,
            come=changes.come - {self.own.name},
            gone=changes.gone - {self.own.name},
            pos=pos,
        )

    def begin_anew(
        self, unit: JournalUnit, head: Head, *, also: Collection[ServerName], pos: int
    ) -> None:
        """Build upon *head*, whose state others told; *also* are in the room, too."""
        before, self._servers = self.servers, HeadServers.of(head.state, also)
        self.record_servers(unit, self._servers.since(before), pos=pos)
        self.head = head

    def submit(
        self,
        journal: Journal,
        unit: JournalUnit,
        *,
        discard: Callable[["Room"], None],
    ) -> asyncio.Future[None]:
        """Hand *unit* to the journal; *discard* this room if it cannot be stored.

        What was built upon an event that could not be stored must not be stored
        either, and the next event is built upon what the database holds.
        """
        unit.on_failure(lambda: discard(self))
        unit.follows(self.last_unit)
        self.last_unit = unit
        unit.on_commit(lambda: self._stored(unit))
        return journal.commit(unit)

    def take_state(self, state: StateMap) -> None:
        """More of the current state has come to be known; nothing may be in flight."""
        self.head = _with_state(self.head, state)
        self.view.reset(state, self.view.room_pos)

    def take_redacted_state(self, event: StateEvent) -> None:
        """*event* is what a redaction that comes from the past leaves of some state."""
        if _holds(self.head.state, event):
            self.head = _with_state(self.head, self.head.state.with_event(event))
        if _holds(self.view.state, event):
            self.view.replace_state(event)

    def become_complete(self, head: Head, *, pos: int) -> None:
        """All of the state is known from the journal position *pos* on."""
        self.head = head
        self._servers = None
        self.view.become_complete(head.state, head.room_pos, pos=pos)

    def _stored(self, unit: JournalUnit) -> None:
        # What comes next need not wait for its fate.
        if self.last_unit is unit:
            self.last_unit = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Stay in memory."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def settled(self) -> None:
        """Wait until nothing of this room is on its way to the disk."""
        unit = self.last_unit
        if unit is not None and unit.future is not None:
            await asyncio.wait([unit.future])

    def build(self, head: Head, draft: Draft, now_ms: int) -> BuiltEvent:
        """See `event_after`; *head* has extremities for one event."""
        return event_after(head, self.view, draft, self.own, now_ms=now_ms)

    def _advance(
        self,
        head: Head,
        unit: JournalUnit,
        draft: Draft,
        built: BuiltEvent,
        redacted: StoredEvent | None,
    ) -> tuple[Head, Staged]:
        event = built.event
        stored = StoredEvent.of(
            built,
            event_nid=unit.pos(),
            room_nid=self.view.nid,
            room_pos=head.room_pos + 1,
        )
        stored.set_txn(draft.txn)
        redaction = None
        if event.type == REDACTION and redacted is not None:
            redaction = redaction_of(
                self.version, event, redacted, auth=head.auth, state=head.state
            )
        part = ServerPart(event.depth, built.server_json)
        head, item = self.live(head, Staged(event, stored, part, redaction=redaction))
        if draft.event_id is not None:
            # Others may have named it before it came.
            stored.childless_pos = UNKNOWN_CHILDREN_POS
        return head, item

    def live(self, head: Head, item: Staged) -> tuple[Head, Staged]:
        """The head after an event that has all of *head*'s extremities as previous.

        Completes *item* by what it changes.
        """
        stored, event = item.stored, item.event
        # It names what is newest, and its ID depends on that: who could name it?
        stored.childless_pos = stored.event_nid
        state, update = head.state, NO_UPDATE
        if event.state_key is not None:
            before = state.get((event.type, event.state_key))
            stored.replaces_nid = before.event_nid if before else None
            state_event = StateEvent(
                event.event_id,
                stored.event_nid,
                stored.room_pos,
                event.type,
                event.state_key,
                event.sender,
                state_content(event.type, event.content),
            )
            update = StateUpdate((state_event,))
            state = state.with_event(state_event)
        redaction = item.redaction
        if isinstance(redaction, Redaction) and redaction.state_event is not None:
            state = state.with_event(redaction.state_event)
        graph = NO_GRAPH_CHANGES
        if head.is_recorded:
            graph = GraphChanges(extremities=(), were_recorded=True)
        successor = Head(
            auth=head.auth if state is head.state else head.auth.advanced_to(state),
            state=state,
            extremities=(Extremity(stored.event_nid, event.event_id, event.depth),),
            room_pos=stored.room_pos,
        )
        if update is not NO_UPDATE or graph is not NO_GRAPH_CHANGES:
            item = replace(item, update=update, graph=graph)
        return successor, item

    def follow(self, unit: JournalUnit, head: Head) -> None:
        """Build upon *head*: all that is new in it, *unit* stores."""
        self.head = head
        self.in_flight += 1
        unit.on_commit(self._landed)

    def leave_history_space(self) -> None:
        """Have what comes from now on leave space for history before it."""
        if not self.head.federates:
            room_pos = max(self.head.room_pos, HISTORY_END_POS - 1)
            self.head = replace(self.head, room_pos=room_pos)

    def _landed(self) -> None:
        self.in_flight -= 1

    def _committed(self, staged: Sequence[Staged]) -> None:
        self.in_flight -= 1
        for item in staged:
            redaction = item.redaction
            if isinstance(redaction, Redaction):
                # Whoever holds the target sees it redacted, in memory or not.
                by_nid = item.stored.event_nid
                redaction.target.redact(redaction.client_json, by_nid=by_nid)


def _holds(state: StateMap, event: StateEvent) -> bool:
    """Whether the event at the key of *event* is this one."""
    current = state.get((event.type, event.state_key))
    return current is not None and current.event_nid == event.event_nid


def _with_state(head: Head, state: StateMap) -> Head:
    return replace(head, state=state, auth=head.auth.advanced_to(state))


def redaction_of(
    version: RoomVersion,
    event: Event,
    target: StoredEvent,
    *,
    auth: AuthState,
    state: StateMap,
) -> Redaction | None:
    """What the redaction *event*, sent where *auth* held, does to *target*.

    None: nothing. *state* is the current one.
    """
    # RV3 "Handling redactions": with enough power, or on the same server. RV1 has the
    # authorisation rules decide.
    if (
        not version.redaction_auth_rule
        and not auth.power_levels.can_redact(event.sender)
        and server_of(event.sender) != server_of(target.sender)
    ):
        return None
    client_json = redact_client_event(version, target.client_json)
    if target.state_key is None:
        return Redaction(target, client_json, None)
    current = state.get((target.type, target.state_key))
    if current is None or current.event_nid != target.event_nid:
        return Redaction(target, client_json, None)
    remains = replace(target, client_json=client_json, _content=None).content
    return Redaction(
        target,
        client_json,
        replace(current, content=state_content(target.type, remains)),
    )


def check_replaces(head: Head, draft: Draft) -> None:
    """Refuse a draft that says what it replaces, and would replace something else.

    Raises:
        BadState: it would.
    """
    if draft.replaces is None or draft.state_key is None:
        return
    current = head.state.get((draft.type, draft.state_key))
    if current is None or current.event_id != draft.replaces:
        raise BadState(f"{draft.replaces} is not the current state any more")
