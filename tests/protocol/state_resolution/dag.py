"""A room to fork, whose states are resolved in every way there is."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any, TypedDict, Unpack

from tests.protocol.state_resolution.literal import Literal, State
from tremula.protocol.auth_rules import auth_event_keys
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_state import CREATE, StateKey, member_key
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.state_resolution import AuthGraph, ForkedState, Resolution
from tremula.protocol.state_resolution.auth_graph import Loading, Missing, T

ALICE = UserId("@alice:a.example")  # the creator
BOB = UserId("@bob:b.example")
CAROL = UserId("@carol:c.example")
DAVE = UserId("@dave:d.example")

TOPIC: StateKey = ("m.room.topic", "")


def without(state: State, key: StateKey) -> State:
    """A state that lacks an entry."""
    return {each: name for each, name in state.items() if each != key}


class Fields(TypedDict, total=False):
    """What of an event follows from the room, unless it is given."""

    auth: list[str]  # its auth events, instead of those in the state
    more_auth: list[str]  # and some besides
    prev: list[str]
    ts: int  # counts the events, as the depth does
    depth: int


class Dag:
    """The events of one room. A state is a ``{key: event ID}``, never changed."""

    def __init__(self, version_id: str) -> None:
        self.version = ROOM_VERSIONS[version_id]
        by_hash = self.version.room_id_is_create_hash
        self.room_id = RoomId("!create" if by_hash else "!room:a.example")
        self.events: dict[str, Event] = {}
        self.rejected: set[str] = set()
        # By the last resolution
        self.asked_for_edges: set[str] = set()
        self.asked_for_events: set[str] = set()

    def found(self, *members: str, join_rule: str = "public") -> State:
        """The state of a new room: Alice's, with power levels, and *members* joined."""
        creator = {} if self.version.implicit_creator else {"creator": ALICE}
        state = self.send({}, "$create", CREATE, ALICE, creator)
        state = self.member(state, "$alice", ALICE, "join", prev=["$create"])
        state = self.levels(state, "$levels", ALICE, {})
        rules = ("m.room.join_rules", "")
        state = self.send(state, "$rule", rules, ALICE, {"join_rule": join_rule})
        for user_id in members:
            name = f"${user_id[1:].partition(':')[0]}"
            state = self.member(state, name, user_id, "join")
        return state

    def send(
        self,
        state: State,
        name: str,
        key: tuple[str, str | None],
        sender: str,
        content: Mapping[str, Any],
        **fields: Unpack[Fields],
    ) -> State:
        """The state after an event, sent where *state* holds."""
        assert name not in self.events
        selected = auth_event_keys(self.version, *key, sender, content)
        own = [state[each] for each in selected if each in state]
        auth = [*fields.get("auth", own), *fields.get("more_auth", [])]
        self.events[name] = Event(
            event_id=EventId(name),
            room_id=self.room_id,
            type=key[0],
            sender=UserId(sender),
            state_key=key[1],
            content=dict(content),
            origin_server_ts=fields.get("ts", len(self.events)),
            depth=fields.get("depth", len(self.events)),
            prev_events=tuple(
                map(EventId, fields.get("prev", ["$prev"] if auth else []))
            ),
            auth_events=tuple(map(EventId, auth)),
            redacts=None,
        )
        return state if key[1] is None else {**state, (key[0], key[1]): name}

    def member(
        self,
        state: State,
        name: str,
        target: str,
        membership: str,
        *,
        by: str | None = None,
        **fields: Unpack[Fields],
    ) -> State:
        """The state after a membership, sent by the target unless *by* another."""
        key = member_key(target)
        content = {"membership": membership}
        return self.send(state, name, key, by or target, content, **fields)

    def levels(
        self,
        state: State,
        name: str,
        sender: str,
        users: Mapping[str, int],
        **fields: Unpack[Fields],
    ) -> State:
        """The state after power levels; where creators have none, Alice's are 100."""
        own = {} if self.version.privileged_creators else {ALICE: 100}
        key = ("m.room.power_levels", "")
        return self.send(
            state, name, key, sender, {"users": {**own, **users}}, **fields
        )

    def topic(
        self, state: State, name: str, sender: str, **fields: Unpack[Fields]
    ) -> State:
        """The state after a topic; Bob needs a level of 50 for it, Alice has it."""
        return self.send(state, name, TOPIC, sender, {"topic": name}, **fields)

    def resolve(self, *states: State) -> dict[StateKey, str]:
        """The resolution of *states*: the same in any order, and the literal one's."""
        literal = Literal(self.version, self.events, frozenset(self.rejected))
        expected = literal.resolve(states)
        for ordered in permutations(states):
            assert self.resolve_once(ordered) == expected
        return expected

    def resolve_once(
        self, states: Sequence[State], numbered: Iterable[str] = ()
    ) -> dict[StateKey, str]:
        """What `Resolution` makes of *states*, given nothing but what it asks for.

        Events are numbered in the order of *numbered*; otherwise as they were sent.
        """
        loaded = self.loaded(numbered)
        resolved = loaded.resolve(states)
        self.asked_for_edges = loaded.named(loaded.asked_for_edges)
        self.asked_for_events = loaded.named(loaded.asked_for_events)
        unconflicted = set(states[0].items()).intersection(*(s.items() for s in states))
        assert resolved.keys().isdisjoint(dict(unconflicted))
        return resolved | dict(unconflicted)

    def loaded(self, numbered: Iterable[str] = ()) -> "Loaded":
        """A graph to which events of this room can be added."""
        return Loaded(self, numbered)


class CountingEdges(dict[int, tuple[int, ...]]):
    """Counts how often it is read from."""

    reads = 0

    def get(  # type: ignore[override]  # the one form that is used
        self, nid: int, default: tuple[int, ...], /
    ) -> tuple[int, ...]:
        self.reads += 1
        return super().get(nid, default)


class Loaded:
    """A graph, and the events that it is filled with: the engine's part."""

    def __init__(self, dag: Dag, numbered: Iterable[str] = ()) -> None:
        self.edges = CountingEdges()
        self.graph = AuthGraph(auth_nids=self.edges)
        self.asked_for_edges: set[int] = set()
        self.asked_for_events: set[int] = set()
        self._dag = dag
        names = [*numbered] or [*dag.events]
        named = (each for event in dag.events.values() for each in event.auth_events)
        unknown = [*dict.fromkeys(each for each in named if each not in dag.events)]
        # What is not to be had has a number all the same: somebody named it.
        self.names = dict(enumerate([*unknown, *names], start=1))
        self.nids = {name: nid for nid, name in self.names.items()}

    def resolve(self, states: Sequence[State]) -> dict[StateKey, str]:
        """What `Resolution` gives, which is without the unconflicted entries."""
        resolution = Resolution(self._dag.version, self.forked(states), self.graph)
        while missing := resolution.advance():
            self.add(missing)
        return {key: self.names[nid] for key, nid in resolution.resolved.items()}

    def forked(self, states: Sequence[State]) -> ForkedState:
        """*states*, by numbers."""
        in_numbers = [
            {key: self.nids[name] for key, name in state.items()} for state in states
        ]
        return ForkedState.of(in_numbers, set[StateKey]().union(*in_numbers))

    def named(self, nids: Iterable[int]) -> set[str]:
        """The events of these numbers."""
        return {self.names[nid] for nid in nids}

    def add_all(self) -> None:
        """Add the whole room."""
        known = [self.nids[name] for name in self._dag.events]
        self.add(Missing(edges=known, events=known))

    def add(self, missing: Missing) -> None:
        """Add what is asked for, as far as there is any."""
        assert missing.edges or missing.events
        for nid in missing.edges:
            assert nid not in self.graph.auth_nids
            self.asked_for_edges.add(nid)
            if event := self._event(nid):
                self.graph.add_edges(
                    nid,
                    [self.nids[each] for each in event.auth_events],
                    type_=event.type,
                    state_key=event.state_key,
                )
        for nid in missing.events:
            assert nid not in self.graph.events
            self.asked_for_events.add(nid)
            if event := self._event(nid):
                rejected = self.names[nid] in self._dag.rejected
                self.graph.add_event(nid, event, rejected=rejected)

    def _event(self, nid: int) -> Event | None:
        return self._dag.events.get(self.names[nid])

    def run(self, loading: Loading[T]) -> T:
        """What *loading* returns, given what it asks for."""
        while True:
            try:
                self.add(next(loading))
            except StopIteration as done:
                result: T = done.value
                return result
