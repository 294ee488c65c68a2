"""Decides how a received event stands, and what it makes of the room's state."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.protocol.auth_rules import check_auth, check_auth_events
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.auth_state import AuthState
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, ServerName
from tremula.protocol.room_state import CREATE, StateEvent, StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms import graph_storage
from tremula.rooms.branches import StateAt
from tremula.rooms.event_states import EventStates
from tremula.rooms.event_store import EventStore
from tremula.rooms.graph import (
    LIVE_BRANCH,
    PREV_EVENTS_CITED_MAX,
    Extremity,
    Node,
    Place,
    Standing,
    missing_of,
)
from tremula.rooms.resolver import ARRIVING_NID, Arriving
from tremula.rooms.room import Head, Room
from tremula.rooms.state import MEMBER, StateUpdate, state_event
from tremula.rooms.whole_events import WholeEvent, prev_ids, whole_events

_FAILED_WALK_MAX: Final = 200
"""How many rejected or soft-failed events are followed to the events before them."""


class MissingEvents(LookupError):
    """Events that must be had before an event can be judged."""

    def __init__(self, event_ids: Collection[EventId]) -> None:
        super().__init__(f"missing events: {sorted(event_ids)[:5]}")
        self.event_ids = frozenset(event_ids)


class MissingAuthEvents(MissingEvents):
    """Auth events of the event."""


class MissingPrevEvents(MissingEvents):
    """Previous events, so that the state before the event is not known."""


class Unacceptable(ValueError):
    """The event is not to be stored at all."""


class NewPlace(Struct, frozen=True):
    """A state that is not stored yet: *changes* to the one at *base*.

    They go on with the branch of *base*, or else begin a new one.
    """

    base: Place
    changes: Mapping[StateKey, int]
    continues: bool


class Surroundings(Struct, frozen=True):
    """What is stored of an event, and of those that it names."""

    node: Node | None
    prevs: Sequence[Node]
    missing_prevs: tuple[EventId, ...]
    auth_events: Sequence[WholeEvent]
    was_missing: bool

    @property
    def nid(self) -> int:
        """The event's number in states."""
        return ARRIVING_NID if self.node is None else self.node.nid


class Judgement(Struct, frozen=True):
    """What to make of an event. States have it as ``around.nid``.

    ``after`` is the place of the state after it; None for the live view itself.
    ``current`` is the state that the room has from now on. What ``is_unproven`` was
    judged without knowing all that decides.
    """

    standing: Standing
    violation: AuthRuleViolation | None
    refusal: str | None
    around: Surroundings
    before_auth: AuthState
    before: StateAt
    current: StateAt
    extremities: tuple[Extremity, ...]
    after: Place | NewPlace | None
    is_unproven: bool

    @property
    def reason(self) -> str | None:
        """Why the event is not accepted."""
        return self.refusal if self.violation is None else str(self.violation)


class Judge(Struct, frozen=True):
    """Judges events, one at a time; nothing of the room may be on its way to disk."""

    db: Reader
    events: EventStore
    states: EventStates

    async def judge(
        self,
        room: Room,
        event: Event,
        prior: Mapping[StateKey, int] | None,
        *,
        refusal: str | None = None,
    ) -> Judgement:
        """Apply SS "Checks performed on receipt of a PDU", 4 to 7.

        *prior* is the state before the event where a peer had to be asked for it,
        *refusal* says why the room's policy server does not recommend it.

        Raises:
            MissingAuthEvents: auth events are not here.
            MissingPrevEvents: previous events are not here, nor is *prior*.
        """
        around = await self._surroundings(room, event)
        head = room.head
        broken = auth_events_violation(
            room.view.create, room.version, event, around.auth_events
        )
        states = await self._states_of_prevs(room, event, around, prior)
        if not states:
            if broken is not None:
                # Not worth asking for the state before it.
                raise Unacceptable(str(broken))
            raise MissingPrevEvents(event.prev_events)
        before = await self.states.resolve(room, list(states.values()))
        before_auth = await self._auth_state(room, event, around, before)
        broken = broken or violation(room.version, event, before_auth)
        standing = Standing.ACCEPTED if broken is None else Standing.REJECTED
        if broken is None and before.changes:
            now = await self._auth_state(room, event, around, StateAt(head.state, {}))
            broken = violation(room.version, event, now)
            standing = Standing.ACCEPTED if broken is None else Standing.SOFT_FAILED
        if broken is None and refusal is not None:
            standing = Standing.SOFT_FAILED
        after = before
        if event.state_key is not None and standing is not Standing.REJECTED:
            after = before.with_event(event.key, around.nid)
        current, extremities = StateAt(head.state, {}), head.extremities
        if standing is Standing.ACCEPTED:
            extremities = await self._extremities(room, event, around)
            current = await self._current(room, event, around, after, extremities)
        place = None
        if standing is not Standing.ACCEPTED or current.changes != after.changes:
            place = await self._place(room, states, after)
        return Judgement(
            standing,
            broken,
            refusal,
            around,
            before_auth,
            before,
            current,
            extremities,
            place,
            is_unproven=bool(unknown_members(room, event, before)),
        )

    async def narrowed_head(self, room: Room) -> Head:
        """The head of a room that had only its deepest extremities."""
        head = room.head
        if len(head.extremities) <= PREV_EVENTS_CITED_MAX:
            return head
        deepest = sorted(head.extremities, key=lambda each: -each.depth)
        chosen = tuple(deepest[:PREV_EVENTS_CITED_MAX])
        nodes = await graph_storage.nodes_by_ids(self.db, [e.event_id for e in chosen])
        places = {node.place for node in nodes.values() if node.place is not None}
        states = await self.states.at(room, places)
        resolved = await self.states.resolve(room, list(states.values()))
        stored = await self.events.by_nids(filter(None, resolved.changes.values()))
        state = head.state.updated(
            StateUpdate(
                tuple(state_event(e, room_pos=head.room_pos) for e in stored.values()),
                tuple(key for key, nid in resolved.changes.items() if not nid),
            )
        )
        auth = head.auth.advanced_to(state)
        return replace(head, auth=auth, state=state, extremities=chosen)

    async def _surroundings(self, room: Room, event: Event) -> Surroundings:
        named = {event.event_id, *event.prev_events, *event.auth_events}
        nodes = await graph_storage.nodes_by_ids(self.db, named)
        node = nodes.get(event.event_id)
        if node is not None and node.room_nid != room.view.nid:
            raise Unacceptable("an event of another room has this ID")
        missing_auth = [each for each in event.auth_events if each not in nodes]
        if missing_auth:
            raise MissingAuthEvents(missing_auth)
        auth_nids = {nodes[each].nid for each in event.auth_events}
        by_id = {
            each.event.event_id: each for each in await whole_events(self.db, auth_nids)
        }
        prevs = [nodes[each] for each in set(event.prev_events) if each in nodes]
        if any(node.room_nid != room.view.nid for node in prevs):
            raise Unacceptable("a previous event is of another room")
        was_missing = await graph_storage.missing_among(
            self.db, room.view.nid, [event.event_id]
        )
        return Surroundings(
            node=node,
            prevs=prevs,
            missing_prevs=missing_of(event.prev_events, nodes),
            # One for each that is named: naming one twice is against the rules.
            auth_events=[by_id[each] for each in event.auth_events],
            was_missing=bool(was_missing),
        )

    async def _states_of_prevs(
        self,
        room: Room,
        event: Event,
        around: Surroundings,
        prior: Mapping[StateKey, int] | None,
    ) -> Mapping[Place | None, StateAt]:
        """The states that the one before *event* is resolved from, by place; none if
        one of them is not known.
        """
        head = room.head
        here = Place(LIVE_BRANCH, head.room_pos)
        if set(event.prev_events) == {each.event_id for each in head.extremities}:
            return {here: StateAt(head.state, {})}
        if prior is not None:
            return {None: _told_state(head, prior)}
        places = {node.place for node in around.prevs if node.place is not None}
        unknown = set(event.prev_events) - {
            node.event_id for node in around.prevs if node.place is not None
        }
        if unknown:
            sibling = await self.states.before_sibling(room, event, unknown)
            return {} if sibling is None else {None: sibling}
        found = await self.states.at(room, places)
        return {place: found[place] for place in places}

    async def allows(self, room: Room, event: Event, before: StateAt) -> bool:
        """Whether a stored event is allowed by its auth events and by *before*."""
        around = await self._surroundings(room, event)
        auth = await self._auth_state(room, event, around, before)
        return not (
            auth_events_violation(
                room.view.create, room.version, event, around.auth_events
            )
            or violation(room.version, event, auth)
        )

    async def _auth_state(
        self, room: Room, event: Event, around: Surroundings, state: StateAt
    ) -> AuthState:
        """*state* as far as the rules read it to judge *event*.

        What is not known of members yet, the auth events of *event* tell.
        """
        unknown = unknown_members(room, event, state)
        if not (state.changes or unknown):
            return room.head.auth
        keys = {
            CREATE,
            *auth_event_keys(
                room.version, event.type, event.state_key, event.sender, event.content
            ),
        }
        nids = {key: nid for key in keys if (nid := state.get(key)) is not None}
        changed = [nid for key, nid in nids.items() if key in state.changes]
        stored = await self.events.by_nids(changed)
        entries: dict[StateKey, StateEvent | None] = {
            key: stored[nid] if key in state.changes else room.head.state.get(key)
            for key, nid in nids.items()
        }
        entries |= {
            cited.event.key: cited.event
            for cited in around.auth_events
            if cited.event.state_key is not None and cited.event.key in unknown
        }
        return AuthState(room.version, _Entries(entries))

    async def _extremities(
        self, room: Room, event: Event, around: Surroundings
    ) -> tuple[Extremity, ...]:
        covered = set(event.prev_events) | await self._before_failed(around.prevs)
        rest = tuple(e for e in room.head.extremities if e.event_id not in covered)
        if around.was_missing and rest:
            # An accepted event has come before it that names it.
            return rest
        return (*rest, Extremity(around.nid, event.event_id, event.depth))

    async def _before_failed(self, prevs: Sequence[Node]) -> set[EventId]:
        """What comes before previous events that are no extremities themselves."""
        found: set[EventId] = set()
        pending = [node for node in prevs if _is_failed(node)]
        for _ in range(_FAILED_WALK_MAX):
            if not pending:
                break
            parts = await graph_storage.server_parts(self.db, [pending.pop().nid])
            named = {each for part in parts for each in prev_ids(part[3])} - found
            found |= named
            nodes = await graph_storage.nodes_by_ids(self.db, named)
            pending += [node for node in nodes.values() if _is_failed(node)]
        return found

    async def _current(
        self,
        room: Room,
        event: Event,
        around: Surroundings,
        after: StateAt,
        extremities: tuple[Extremity, ...],
    ) -> StateAt:
        """The state that the room has from now on."""
        if extremities == room.head.extremities:
            return StateAt(room.head.state, {})
        others = [each for each in extremities if each.event_id != event.event_id]
        states = [after] if len(others) < len(extremities) else []
        nodes = await graph_storage.nodes_by_ids(self.db, [e.event_id for e in others])
        places = {node.place for node in nodes.values() if node.place is not None}
        states += (await self.states.at(room, places)).values()
        auth_nids = tuple(each.nid for each in around.auth_events)
        arriving = Arriving(event, auth_nids) if around.node is None else None
        return await self.states.resolve(room, states, arriving)

    async def _place(
        self, room: Room, states: Mapping[Place | None, StateAt], after: StateAt
    ) -> Place | NewPlace:
        """Where the state after an event is found, or to be put.

        *states* are those before the event.
        """
        live = Place(LIVE_BRANCH, room.head.room_pos)
        known = {live: StateAt(room.head.state, {})}
        known |= {place: state for place, state in states.items() if place is not None}
        for place, state in known.items():
            if state.changes == after.changes:
                return place
        if len(states) == 1:
            ((only, before),) = states.items()
            if only is not None and await self.states.branches.can_continue(
                room.view.nid, only
            ):
                return NewPlace(only, after.difference(before), continues=True)
        base = min(known, key=lambda place: len(after.difference(known[place])))
        if not await self.states.branches.can_be_base(room.view.nid, base):
            base = live
        return NewPlace(base, after.difference(known[base]), continues=False)


class _Entries:
    """Some entries of a state."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[StateKey, StateEvent | None]) -> None:
        self._entries = entries

    def get(self, key: StateKey, /) -> StateEvent | None:
        return self._entries.get(key)


def unknown_members(room: Room, event: Event, state: StateAt) -> set[StateKey]:
    """The members on whom the rules want to know what they are before *event*, and of
    whom it is not known yet.
    """
    if room.view.partial is None:
        return set()
    keys = auth_event_keys(
        room.version, event.type, event.state_key, event.sender, event.content
    )
    return {key for key in keys if key[0] == MEMBER and state.get(key) is None}


def signed_when_received(_: ServerName) -> bool:
    """Signatures are checked before an event gets here."""
    return True


def auth_events_violation(
    room_create: StateEvent,
    version: RoomVersion,
    event: Event,
    cited: Sequence[WholeEvent],
) -> AuthRuleViolation | None:
    """Why *event* is rejected by its own auth events, if it is."""
    rejected = {e.event.event_id for e in cited if e.standing is Standing.REJECTED}
    auth_events = [each.event for each in cited]
    try:
        check_auth_events(version, event, auth_events, rejected=rejected)
    except AuthRuleViolation as error:
        return error
    entries: dict[StateKey, StateEvent | None] = {e.key: e for e in auth_events}
    # RV12: "the room_id [...] implies this".
    entries.setdefault(CREATE, room_create)
    return violation(version, event, AuthState(version, _Entries(entries)))


def violation(
    version: RoomVersion, event: Event, state: AuthState
) -> AuthRuleViolation | None:
    """Why *state* does not allow *event*, if it does not."""
    try:
        check_auth(version, event, state, server_signed=signed_when_received)
    except AuthRuleViolation as error:
        return error
    return None


def _told_state(head: Head, prior: Mapping[StateKey, int]) -> StateAt:
    absent = {key: 0 for key in head.state if key not in prior}
    return StateAt.of(head.state, {**absent, **prior})


def _is_failed(node: Node) -> bool:
    return node.standing in (Standing.SOFT_FAILED, Standing.REJECTED)
