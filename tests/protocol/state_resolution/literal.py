"""The state resolutions as the specification words them, and as slow.

The tests hold the real ones against this: sets of event IDs, whole auth chains, no
numbers, no laziness, nothing remembered. Only ``check_auth`` and ``PowerLevels`` are
shared with them.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tremula.protocol.auth_rules import check_auth
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.room_state import CREATE, POWER_LEVELS, StateKey
from tremula.protocol.room_versions import RoomVersion, StateResolution

State = Mapping[StateKey, str]


@dataclass(frozen=True, slots=True)
class Literal:
    """The algorithms on the events of a room, by event ID."""

    version: RoomVersion
    events: Mapping[str, Event]
    rejected: frozenset[str] = field(default_factory=frozenset)
    # Without this, each event of a chain would be walked once for every way to it.
    _chains: dict[str, set[str]] = field(default_factory=dict)

    def resolve(self, states: Sequence[State]) -> dict[StateKey, str]:
        """The resolution of *states*."""
        if self.version.state_resolution is StateResolution.V1:
            return self._resolve_v1(states)
        return self._resolve_v2(states)

    # RV1

    def _resolve_v1(self, states: Sequence[State]) -> dict[StateKey, str]:
        candidates = {
            key: {state[key] for state in states if key in state}
            for state in states
            for key in state
        }
        r = {key: min(ids) for key, ids in candidates.items() if len(ids) == 1}
        conflicts = {key: ids for key, ids in candidates.items() if len(ids) > 1}
        for event_type in ("m.room.power_levels", "m.room.join_rules", "m.room.member"):
            r |= {
                key: self._last_in_a_row(r, key, ids)
                for key, ids in conflicts.items()
                if key[0] == event_type
            }
        others: dict[StateKey, str] = {}
        for key in conflicts.keys() - r.keys():
            passing = [
                event_id
                for event_id in conflicts[key]
                if self.is_allowed(self.events[event_id], self.lookup(r))
            ]
            if passing:
                highest = max(self.events[event_id].depth for event_id in passing)
                others[key] = min(
                    (each for each in passing if self.events[each].depth == highest),
                    key=_sha1,
                )
        return r | others

    def _last_in_a_row(
        self, r: Mapping[StateKey, str], key: StateKey, event_ids: Iterable[str]
    ) -> str:
        descending = sorted(event_ids, key=_sha1, reverse=True)
        first, *others = sorted(descending, key=lambda each: self.events[each].depth)
        r = {**r, key: first}
        for event_id in others:
            if not self.is_allowed(self.events[event_id], self.lookup(r)):
                break
            r = {**r, key: event_id}
        return r[key]

    # RV2 and RV12 "Definitions"

    def auth_chain(self, event_id: str) -> set[str]:
        """Auth chain."""
        if event_id not in self._chains:
            chain: set[str] = set()
            for auth_id in self.events[event_id].auth_events:
                if auth_id in self.events:
                    chain |= {auth_id} | self.auth_chain(auth_id)
            self._chains[event_id] = chain
        return self._chains[event_id]

    def full_auth_chain(self, state: State) -> set[str]:
        """The "full auth chain" of a state, with the state's own events.

        The definition leaves those out. Other servers do not, as the tests with them
        show: who was joined to begin with is not in question for having sent something.
        """
        return set(state.values()).union(*map(self.auth_chain, state.values()))

    def auth_difference(self, states: Sequence[State]) -> set[str]:
        """Auth difference."""
        chains = [self.full_auth_chain(state) for state in states]
        return set[str]().union(*chains) - chains[0].intersection(*chains)

    def conflicted_state_subgraph(self, conflicted: set[str]) -> set[str]:
        """Conflicted state subgraph."""
        subgraph = set(conflicted)
        for event_id in conflicted:
            for between in self.auth_chain(event_id):
                if not conflicted.isdisjoint(self.auth_chain(between)):
                    subgraph.add(between)
        return subgraph

    def full_conflicted_set(
        self, states: Sequence[State], conflicted: set[str]
    ) -> set[str]:
        """Full conflicted set."""
        full = conflicted | self.auth_difference(states)
        if self.version.state_resolution is StateResolution.V2_1:
            full |= self.conflicted_state_subgraph(conflicted)
        return full

    def reverse_topological_power_ordering(self, event_ids: set[str]) -> list[str]:
        """Reverse topological power ordering."""
        left = set(event_ids)
        ordering: list[str] = []
        while left:
            candidates = [
                event_id
                for event_id in left
                if left.isdisjoint(self.auth_chain(event_id))
            ]
            smallest = min(candidates, key=self._power_key)
            ordering.append(smallest)
            left.remove(smallest)
        return ordering

    def _power_key(self, event_id: str) -> tuple[int, int, str]:
        event = self.events[event_id]
        auth_events = self._by_key(event.auth_events)
        create = auth_events.get(CREATE) or self._implied_create()
        if create is None:
            level = 0
        else:
            levels = PowerLevels.of(self.version, create, auth_events.get(POWER_LEVELS))
            level = levels.user(event.sender)
        return (-level, event.origin_server_ts, event_id)

    def power_levels_of(self, event_id: str) -> str | None:
        """The ``m.room.power_levels`` event in the auth events of an event."""
        found = self._by_key(self.events[event_id].auth_events).get(POWER_LEVELS)
        return None if found is None else found.event_id

    def mainline(self, event_id: str | None) -> list[str]:
        """Mainline of P_0."""
        mainline: list[str] = []
        while event_id is not None:
            mainline.append(event_id)
            event_id = self.power_levels_of(event_id)
        return mainline

    def mainline_position(self, mainline: list[str], event_id: str) -> float:
        """Mainline position."""
        for each in self.mainline(event_id)[1:]:
            if each in mainline:
                return mainline.index(each)
        return math.inf

    def mainline_ordering(
        self, power_levels: str | None, event_ids: set[str]
    ) -> list[str]:
        """Mainline ordering based on *power_levels*."""
        mainline = self.mainline(power_levels)
        return sorted(
            event_ids,
            key=lambda event_id: (
                -self.mainline_position(mainline, event_id),
                self.events[event_id].origin_server_ts,
                event_id,
            ),
        )

    def iterative_auth_checks(
        self, initial: State, event_ids: Iterable[str]
    ) -> dict[StateKey, str]:
        """Iterative auth checks."""
        state = dict(initial)
        for event_id in event_ids:
            event = self.events[event_id]
            if event.state_key is None:
                continue
            auth_events = self._by_key(
                each for each in event.auth_events if each not in self.rejected
            )
            create = self._implied_create()
            if create is not None:
                auth_events[CREATE] = create
            present = self.lookup(state)
            if self.is_allowed(event, auth_events | present):
                state[event.key] = event_id
        return state

    # RV2 and RV12 "Algorithm"

    def _resolve_v2(self, states: Sequence[State]) -> dict[StateKey, str]:
        pairs = [set(state.items()) for state in states]
        unconflicted = dict(pairs[0].intersection(*pairs))
        conflicted = {
            event_id
            for key, event_id in set[tuple[StateKey, str]]().union(*pairs)
            if key not in unconflicted
        }
        full = self.full_conflicted_set(states, conflicted)
        # 1.
        x = {each for each in full if is_power_event(self.events[each])}
        for power_event in tuple(x):
            x |= self.auth_chain(power_event) & full
        # 2.
        is_v2_1 = self.version.state_resolution is StateResolution.V2_1
        state = self.iterative_auth_checks(
            {} if is_v2_1 else unconflicted, self.reverse_topological_power_ordering(x)
        )
        # 3.
        others = self.mainline_ordering(state.get(POWER_LEVELS), full - x)
        # 4.
        state = self.iterative_auth_checks(state, others)
        # 5.
        return state | unconflicted

    def _implied_create(self) -> Event | None:
        if self.version.create_in_auth_events:
            return None
        return next(
            event
            for event in self.events.values()
            if (event.type, event.state_key) == CREATE
        )

    def _by_key(self, event_ids: Iterable[str]) -> dict[StateKey, Event]:
        """The events among them that are known and state, by key; the first counts."""
        by_key: dict[StateKey, Event] = {}
        for event_id in event_ids:
            event = self.events.get(event_id)
            if event is not None and event.state_key is not None:
                by_key.setdefault(event.key, event)
        return by_key

    def lookup(self, state: State) -> dict[StateKey, Event]:
        return {key: self.events[event_id] for key, event_id in state.items()}

    def is_allowed(self, event: Event, state: Mapping[StateKey, Event]) -> bool:
        try:
            check_auth(self.version, event, state, server_signed=lambda _: True)
        except AuthRuleViolation:
            return False
        return True


def is_power_event(event: Event) -> bool:
    """Power events."""
    if event.state_key is None:
        return False
    if event.type in {"m.room.power_levels", "m.room.join_rules"}:
        return True
    removes = event.content.get("membership") in ("leave", "ban")
    return event.type == "m.room.member" and removes and event.sender != event.state_key


def _sha1(event_id: str) -> bytes:
    return hashlib.sha1(event_id.encode(), usedforsecurity=False).digest()
