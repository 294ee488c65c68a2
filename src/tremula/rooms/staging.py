"""Events that are decided upon, and the statements that store and announce them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from tremula.infra.federation.destination import Entry
from tremula.infra.federation.outbox import Outbox
from tremula.infra.journal import JournalUnit
from tremula.protocol.events import Event
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.room_state import StateKey
from tremula.protocol.signing import SigningKey
from tremula.rooms import (
    events_storage,
    graph_storage,
    partial_storage,
    storage,
)
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.graph import Place, Standing
from tremula.rooms.head_servers import has_recipients
from tremula.rooms.memberships import Memberships
from tremula.rooms.relations import forget_relation, record_relation
from tremula.rooms.state import (
    MEMBER,
    NO_UPDATE,
    StateEvent,
    StateMap,
    StateUpdate,
)
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

EVENT_TOPIC: Final = "event"

MEMBERS_TOPIC: Final = "members"
"""Announced by room nid when member events may have changed: far less than events."""

SKIPPED_TOPIC: Final = "skipped_events"
"""Announced by room nid at the position up to which events of the room are not told one
by one: who wants them reads them.
"""

REREAD_TOPIC: Final = "reread"
"""Announced by room nid when more of a room has changed than a new event tells."""

_MEMBERS_BYTES: Final = 64


class OwnServer(Struct, frozen=True):
    """This server, as it signs events."""

    name: ServerName
    key: SigningKey

    def is_named(self, server_name: ServerName) -> bool:
        """Whether *server_name* is this server's."""
        return server_name == self.name


class Redaction(Struct, frozen=True):
    """What a redaction does to the event that it redacts.

    ``state_event`` is what is left of a target that is current state.
    """

    target: StoredEvent
    client_json: bytes
    state_event: StateEvent | None


class EarlyRedaction(Struct, frozen=True):
    """A redaction of an event that is not here yet."""

    target_id: EventId
    has_power: bool


class BranchChanges(Struct, frozen=True):
    """What the state after an event adds to a branch, which begins at ``base`` if it
    is a new one.
    """

    place: Place
    base: Place | None
    changes: Mapping[StateKey, int]


class GraphChanges(Struct, frozen=True):
    """What an event changes in the graph beside itself.

    ``extremities`` are recorded anew unless None; ``missing`` are those of its previous
    events that are not here; ``was_missing``: another event named it before it came,
    ``had_early_redactions``: one that redacts it. What ``is_unproven`` is to be judged
    again when all of the room's state is known.
    """

    branch: BranchChanges | None = None
    extremities: tuple[int, ...] | None = None
    were_recorded: bool = False
    missing: tuple[EventId, ...] = ()
    was_missing: bool = False
    had_early_redactions: bool = False
    is_unproven: bool = False


NO_GRAPH_CHANGES: Final = GraphChanges()


class Staged(Struct, frozen=True):
    """An event that is built or received, judged, and on its way to the disk.

    What ``is_relayed`` was given to this server alone, which sends it on. Of what
    ``is_silent`` nobody is notified. The application service ``known_to`` has sent it
    in a batch, and is not to be told.
    """

    event: Event
    stored: StoredEvent
    part: ServerPart
    update: StateUpdate = NO_UPDATE
    redaction: Redaction | EarlyRedaction | None = None
    graph: GraphChanges = NO_GRAPH_CHANGES
    is_relayed: bool = False
    is_silent: bool = False
    known_to: str | None = None

    @property
    def is_own_state_only(self) -> bool:
        """Whether the current state changes by the event itself, or not at all."""
        update, nid = self.update, self.stored.event_nid
        if update is NO_UPDATE:
            return not self.stored.is_state
        if update.removed or len(update.replaced) != self.stored.is_state:
            return False
        return all(event.event_nid == nid for event in update.replaced)


class Remains(Struct, frozen=True):
    """What a redaction leaves of the event ``event_nid``, and of the room's state."""

    event_nid: int
    client_json: bytes
    state_event: StateEvent | None


class RoomChange(Struct, frozen=True):
    """What an event changes in a room, as all processes are told of it.

    ``is_sent``: this server sends it to others.
    """

    room_id: RoomId
    stored: StoredEvent
    redacts: EventId | None
    update: StateUpdate
    changes_other_state: bool
    remains: Remains | None
    is_sent: bool


class StateAround(Struct, frozen=True):
    """The state that an event comes after, and the one that it has made, both of which
    may be ahead of what is committed; ``levels`` are in force with it.
    """

    before: StateMap
    after: StateMap
    levels: PowerLevels


class OwnChange(Struct, frozen=True):
    """A change by this process, which has the room's view."""

    view: RoomView
    change: RoomChange
    around: StateAround


class Reread(Struct, frozen=True):
    """Other processes read a room, and some of its events, anew."""

    room_id: RoomId
    event_nids: tuple[int, ...]


class OwnReread(Struct, frozen=True):
    """The same, of this process's doing: it knows already."""

    told: Reread


class EventWriter(Struct, frozen=True):
    """Adds to a unit what storing an event takes, and announces it."""

    own: OwnServer
    memberships: Memberships
    outbox: Outbox

    def write(self, unit: JournalUnit, view: RoomView, item: Staged) -> None:
        """Store *item*, and what it changes if it has come into the timeline."""
        stored = item.stored
        if stored.arrived_pos is None:
            events_storage.insert_event(unit, stored, item.part)
        else:
            events_storage.update_arrived(unit, stored, item.part)
        if item.graph is not NO_GRAPH_CHANGES:
            _write_graph(unit, view.nid, stored, item.graph)
        if item.part.standing is not Standing.ACCEPTED:
            return
        if item.update is not NO_UPDATE:
            room_pos, pos = stored.room_pos, stored.journal_pos
            self.write_update(unit, view, item.update, room_pos=room_pos, pos=pos)
        record_relation(unit, stored, item.event.content)
        if item.redaction is not None:
            write_redaction(unit, view.nid, item.redaction, stored)

    def send(
        self, unit: JournalUnit, servers: Collection[ServerName], item: Staged
    ) -> bool:
        """Send *item* to the others of *servers*, which are in the room just after it;
        says whether it is to be sent to any.
        """
        stored = item.stored
        if not has_recipients(servers, stored, self.own.name):
            return False
        # One of our own that another server has sent us need not be sent to others.
        is_ours = stored.arrived_pos is None and self.own.is_named(
            server_of(stored.sender)
        )
        if not (is_ours or item.is_relayed):
            return False
        entry = Entry(stored.journal_pos, stored.event_nid)
        self.outbox.add(unit, entry, room_nid=stored.room_nid)
        return True

    def announce(
        self,
        unit: JournalUnit,
        view: RoomView,
        item: Staged,
        around: StateAround,
        *,
        is_sent: bool,
    ) -> None:
        """Have the views of all processes take *item* over once it is stored."""
        stored = item.stored
        changes_other_state = not item.is_own_state_only
        change = RoomChange(
            view.room_id,
            stored,
            item.event.redacts,
            item.update,
            changes_other_state,
            _remains(item.redaction),
            is_sent,
        )
        unit.announce(
            EVENT_TOPIC,
            stored.room_nid,
            OwnChange(view, change, around),
            pos=stored.journal_pos,
            size_bytes=stored.size_bytes,
        )
        if stored.type == MEMBER or changes_other_state:
            self.announce_members(unit, view, pos=stored.journal_pos)

    def announce_members(self, unit: JournalUnit, view: RoomView, *, pos: int) -> None:
        """Announce that the members of the room have changed."""
        unit.announce(MEMBERS_TOPIC, view.nid, None, pos=pos, size_bytes=_MEMBERS_BYTES)

    def write_update(
        self,
        unit: JournalUnit,
        view: RoomView,
        update: StateUpdate,
        *,
        room_pos: int,
        pos: int,
    ) -> None:
        """Change the live view at *room_pos*, at the journal position *pos*."""
        for event in update.replaced:
            storage.write_state(unit, view.nid, event)
            if event.type == MEMBER:
                self.write_membership(unit, view, event, pos=pos)
        for key in update.removed:
            storage.write_removed_state(unit, view.nid, key, room_pos=room_pos)
            if key[0] == MEMBER:
                self._write_no_membership(unit, view, key[1], room_pos, pos=pos)

    def write_membership(
        self, unit: JournalUnit, view: RoomView, event: StateEvent, *, pos: int
    ) -> None:
        """Record what the user of the member event *event* is, if it is one of ours."""
        user_id = UserId(event.state_key)
        if not self.own.is_named(server_of(user_id)):
            return
        self.memberships.record(
            unit,
            user_id,
            UserRoom(
                room_id=view.room_id,
                room_nid=view.nid,
                membership=event.content["membership"],
                event_nid=pos,
                room_pos=event.room_pos,
                sender=event.sender,
                forgotten=False,
            ),
        )
        unit.wake([user_id])

    def _write_no_membership(
        self,
        unit: JournalUnit,
        view: RoomView,
        user_id: str,
        room_pos: int,
        *,
        pos: int,
    ) -> None:
        """State resolution has undone all that the user was to the room."""
        gone = StateEvent(
            EventId(""), 0, room_pos, MEMBER, user_id, user_id, {"membership": "leave"}
        )
        self.write_membership(unit, view, gone, pos=pos)


def announce_reread(
    unit: JournalUnit, view: RoomView, event_nids: Iterable[int] = ()
) -> None:
    """Have other processes read the room anew, and these events; this one knows what
    has changed. Takes a journal position.
    """
    told = Reread(view.room_id, tuple(event_nids))
    unit.announce(REREAD_TOPIC, view.nid, OwnReread(told), pos=unit.pos())


def _remains(redaction: Redaction | EarlyRedaction | None) -> Remains | None:
    if not isinstance(redaction, Redaction):
        return None
    return Remains(
        redaction.target.event_nid, redaction.client_json, redaction.state_event
    )


def _write_graph(
    unit: JournalUnit, room_nid: int, stored: StoredEvent, graph: GraphChanges
) -> None:
    branch = graph.branch
    if branch is not None:
        if branch.base is not None:
            graph_storage.insert_branch(
                unit, room_nid, branch.place.branch, branch.base
            )
        graph_storage.insert_branch_changes(
            unit, room_nid, branch.place, branch.changes
        )
    if graph.extremities is not None:
        graph_storage.replace_extremities(
            unit, room_nid, graph.extremities, were_recorded=graph.were_recorded
        )
    if graph.is_unproven:
        partial_storage.insert_unproven(unit, room_nid, stored.event_nid)
    if graph.was_missing:
        graph_storage.delete_missing(unit, room_nid, stored.event_id)
    if graph.had_early_redactions:
        graph_storage.delete_early_redactions(unit, room_nid, stored.event_id)
    graph_storage.insert_missing(
        unit, room_nid, graph.missing, named_by_nid=stored.event_nid
    )


def write_redaction(
    unit: JournalUnit,
    room_nid: int,
    redaction: Redaction | EarlyRedaction,
    by: StoredEvent,
) -> None:
    """Store what the redaction *by* does."""
    if isinstance(redaction, EarlyRedaction):
        graph_storage.insert_early_redaction(
            unit,
            room_nid,
            redaction.target_id,
            redaction_nid=by.event_nid,
            sender=by.sender,
            has_power=redaction.has_power,
        )
        return
    target = redaction.target
    events_storage.update_redacted(
        unit,
        target.event_nid,
        client_json=redaction.client_json,
        redacted_by_nid=by.event_nid,
    )
    forget_relation(unit, target)
