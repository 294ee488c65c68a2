"""The state resolution of room version 1 (RV1 "State resolution")."""

from collections.abc import Callable, Collection
from hashlib import sha1

from tremula.protocol.events import Event
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.state_resolution.auth_graph import AuthGraph, Loader, Loading
from tremula.protocol.state_resolution.forked_state import ForkedState
from tremula.protocol.state_resolution.partial_state import (
    AuthChecker,
    Fallback,
    PartialState,
    auth_keys,
)

_Conflicts = dict[StateKey, set[int]]
_AUTH_TYPES = ("m.room.power_levels", "m.room.join_rules", "m.room.member")


def resolve_v1(
    version: RoomVersion, forked: ForkedState, graph: AuthGraph
) -> Loading[dict[StateKey, int]]:
    """Resolve by depth. Known to reset rooms to older states."""
    state = PartialState(graph, forked.unconflicted)
    conflicts = _divide(forked, state)
    yield from _load(version, Loader(graph), conflicts, state)
    resolver = _Resolver(graph, AuthChecker(version), state)
    for event_type in _AUTH_TYPES:
        passed = {key: nids for key, nids in conflicts.items() if key[0] == event_type}
        resolver.decide(passed, resolver.last_allowed_in_a_row)
    others = {k: nids for k, nids in conflicts.items() if k[0] not in _AUTH_TYPES}
    resolver.decide(others, resolver.deepest_allowed)
    return state.decided


def _divide(forked: ForkedState, state: PartialState) -> _Conflicts:
    """Tell what is in conflict from the rest, which is decided at once.

    "Start by setting R to the union of the states to be resolved, excluding any
    conflicting events": what only some states have is no conflict in this version.
    """
    conflicts: _Conflicts = {}
    for key in forked.keys:
        nids = {entries[key] for entries in forked.conflicted if key in entries}
        if len(nids) == 1:
            state.decided[key] = nids.pop()
        else:
            conflicts[key] = nids
    return conflicts


def _load(
    version: RoomVersion, loader: Loader, conflicts: _Conflicts, state: PartialState
) -> Loading[None]:
    """Load what is to be checked, and what it may be checked against."""
    yield from loader.events(nid for nids in conflicts.values() for nid in nids)
    events = loader.graph.events
    for nids in conflicts.values():
        nids.intersection_update(events)
    to_check = (events[nid] for nids in conflicts.values() for nid in nids)
    against = map(state.find_nid, auth_keys(version, to_check))
    yield from loader.events(nid for nid in against if nid is not None)


class _Resolver:
    """Decides the conflicts of one pass after the other."""

    __slots__ = ("_checker", "_events", "_state")

    def __init__(
        self, graph: AuthGraph, checker: AuthChecker, state: PartialState
    ) -> None:
        self._events = graph.events
        self._checker = checker
        self._state = state

    def decide(
        self,
        conflicts: _Conflicts,
        choose: Callable[[StateKey, Collection[int]], int | None],
    ) -> None:
        """Choose an event for each key.

        All are chosen in the state before, so that it is no matter which comes first.
        """
        chosen = {key: choose(key, nids) for key, nids in conflicts.items()}
        self._state.decided.update(
            (key, nid) for key, nid in chosen.items() if nid is not None
        )

    def last_allowed_in_a_row(self, key: StateKey, nids: Collection[int]) -> int | None:
        """The pass for types of events that affect the authorisation rules."""
        chosen: int | None = None
        # "Sort the list by ascending depth then descending sha1(event_id)."
        for nid in sorted(nids, key=self._by_depth, reverse=True):
            # "Add the first event in the list to R. For each subsequent event [...]
            # If it would not be allowed, stop".
            if chosen is not None:
                state = Fallback(self._state, {key: self._events[chosen]})
                if not self._checker.allows(state, self._events[nid]):
                    break
            chosen = nid
        return chosen

    def deepest_allowed(self, _: StateKey, nids: Collection[int]) -> int | None:
        """The pass for all other events.

        "Just pick the event with the highest depth and lowest sha1(event_id) that
        passes authentication in R".
        """
        for nid in sorted(nids, key=self._by_depth):
            if self._checker.allows(self._state, self._events[nid]):
                return nid
        return None

    def _by_depth(self, nid: int) -> tuple[int, bytes]:
        event: Event = self._events[nid]
        event_id = event.event_id.encode()
        return -event.depth, sha1(event_id, usedforsecurity=False).digest()
