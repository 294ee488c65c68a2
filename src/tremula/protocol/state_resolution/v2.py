"""The state resolution of room versions 2 to 11, and that of 12: 2.1 (RV2, RV12)."""

from collections.abc import Iterable

from tremula.protocol.events import Event
from tremula.protocol.room_state import CREATE, POWER_LEVELS, StateKey
from tremula.protocol.room_versions import RoomVersion, StateResolution
from tremula.protocol.state_resolution.auth_graph import AuthGraph, Loader, Loading
from tremula.protocol.state_resolution.forked_state import ForkedState
from tremula.protocol.state_resolution.full_conflicted_set import (
    auth_difference,
    conflicted_subgraph,
)
from tremula.protocol.state_resolution.orderings import (
    mainline_order,
    power_sort_key,
    topological_order,
)
from tremula.protocol.state_resolution.partial_state import (
    AuthChecker,
    Fallback,
    PartialState,
    auth_keys,
)

_POWER_TYPES = ("m.room.power_levels", "m.room.join_rules")


def resolve_v2(
    version: RoomVersion, forked: ForkedState, graph: AuthGraph
) -> Loading[dict[StateKey, int]]:
    """Resolve by who had the power to do what; the steps are RV2 "Algorithm"."""
    loader = Loader(graph)
    is_v2_1 = version.state_resolution is StateResolution.V2_1
    # Step 2, "[Changed in this version]" (RV12): "starting from an empty state map".
    state = PartialState(graph, _empty if is_v2_1 else forked.unconflicted)
    full = yield from auth_difference(forked, loader)
    full |= forked.conflicted_nids()
    if is_v2_1:
        full |= yield from conflicted_subgraph(forked, loader)
    full = yield from _load(version, loader, full, state)
    create = yield from _implied_create(version, forked, loader)
    checks = _IterativeAuthChecks(version, graph, state, create)

    power_events = yield from _power_events(version, loader, full, create)  # 1.
    checks.apply(power_events)  # 2.
    others = yield from mainline_order(
        loader, full.difference(power_events), state.find_nid(POWER_LEVELS)
    )  # 3.
    checks.apply(others)  # 4.
    # 5. "Update the result by replacing any event with the event with the same key
    # from the unconflicted state map, if such an event exists".
    return {
        key: nid
        for key, nid in state.decided.items()
        if forked.unconflicted(key) is None
    }


def _empty(_: StateKey) -> None:
    """What an empty state map has at a key."""


def _load(
    version: RoomVersion, loader: Loader, full: set[int], state: PartialState
) -> Loading[set[int]]:
    """Load what is to be checked, and what it may be checked against.

    Returns the events that are to be had.
    """
    yield from loader.edges(full)
    yield from loader.events(full)
    events = loader.graph.events
    loaded = full & events.keys()
    yield from loader.events(each for nid in loaded for each in loader.auth_of(nid))
    keys = auth_keys(version, (events[nid] for nid in loaded))
    against = map(state.find_nid, keys)
    yield from loader.events(nid for nid in against if nid is not None)
    return loaded


def _implied_create(
    version: RoomVersion, forked: ForkedState, loader: Loader
) -> Loading[Event | None]:
    """RV12 "Authorisation rules": no auth event, "the room_id [...] implies this"."""
    nid = None if version.create_in_auth_events else forked.unconflicted(CREATE)
    if nid is None:
        return None
    yield from loader.events((nid,))
    return loader.graph.events.get(nid)


def _power_events(
    version: RoomVersion, loader: Loader, full: set[int], create: Event | None
) -> Loading[list[int]]:
    """Step 1: "all power events that appear in the full conflicted set", and "the
    events in the auth chain [...] which also belong to the full conflicted set".
    """
    graph = loader.graph
    power_events = {nid for nid in full if is_power_event(graph.events[nid])}
    floor = min(full, default=0)
    with_chains = yield from loader.reachable(power_events, floor=floor)
    keys = {
        nid: power_sort_key(version, graph, nid, create) for nid in with_chains & full
    }
    return topological_order(graph, with_chains, keys)


def is_power_event(event: Event) -> bool:
    """RV2 "Power events": what might remove someone's ability to do something."""
    if not event.is_state or event.type != "m.room.member":
        return event.is_state and event.type in _POWER_TYPES
    membership = event.content.get("membership")
    return membership in ("leave", "ban") and event.sender != event.state_key


class _IterativeAuthChecks:
    """RV2 "Iterative auth checks"."""

    __slots__ = ("_checker", "_graph", "_implied_create", "_state")

    def __init__(
        self,
        version: RoomVersion,
        graph: AuthGraph,
        state: PartialState,
        implied_create: Event | None,
    ) -> None:
        self._checker = AuthChecker(version)
        self._graph = graph
        self._state = state
        self._implied_create = implied_create

    def apply(self, nids: Iterable[int]) -> None:
        """Apply events to the state, in this order, as far as it allows them."""
        for nid in nids:
            event = self._graph.events[nid]
            if not event.is_state:  # named as an auth event, against the rules
                continue
            state = Fallback(self._state, self._auth_events(nid))
            if self._checker.allows(state, event):
                self._state.decided[event.key] = nid

    def _auth_events(self, nid: int) -> dict[StateKey, Event]:
        """What the event itself names for keys that "are not present in the state".

        "Rejected auth events are deliberately excluded" (RV2 "Rejected events").
        """
        graph = self._graph
        entries: dict[StateKey, Event] = {}
        if self._implied_create is not None:
            entries[CREATE] = self._implied_create
        for auth_nid in reversed(graph.auth_nids.get(nid, ())):
            auth_event = graph.events.get(auth_nid)
            if (
                auth_event is not None
                and auth_event.is_state
                and auth_nid not in graph.rejected
            ):
                entries[auth_event.key] = auth_event
        return entries
