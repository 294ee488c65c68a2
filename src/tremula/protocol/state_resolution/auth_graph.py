"""What is loaded of a room's auth events, and how more is asked for."""

from collections.abc import Collection, Generator, Iterable
from typing import TypeAlias, TypeVar

from msgspec import Struct, field

from tremula.protocol.events import Event
from tremula.protocol.room_state import POWER_LEVELS

T = TypeVar("T")


class Missing(Struct, frozen=True):
    """What a resolution needs to go on; never both empty."""

    edges: Collection[int] = ()
    events: Collection[int] = ()


# A computation that asks for what it needs, and goes on when that is in the graph.
Loading: TypeAlias = Generator[Missing, None, T]


class AuthGraph(Struct, frozen=True):
    """The part of one room's auth events that is loaded.

    Most of a resolution follows edges only; whole events are asked for where they are
    sorted or checked. The edges of a room never change and may be kept for the next
    resolution. Who fills it sees to it that all events are of one room.
    """

    auth_nids: dict[int, tuple[int, ...]] = field(default_factory=dict)
    power_levels: set[int] = field(default_factory=set)
    events: dict[int, Event] = field(default_factory=dict)
    rejected: set[int] = field(default_factory=set)

    def add_edges(
        self, nid: int, auth_nids: Iterable[int], *, type_: str, state_key: str | None
    ) -> None:
        """Add an event's auth events, in its order.

        An event is accepted after its auth events, so that its number is higher. What
        is not lower is left out: circles, which only RV1 and RV2 can be made to have,
        as their event IDs are no hashes.
        """
        self.auth_nids[nid] = tuple(dict.fromkeys(n for n in auth_nids if n < nid))
        if (type_, state_key) == POWER_LEVELS:
            self.power_levels.add(nid)

    def add_event(self, nid: int, event: Event, *, rejected: bool) -> None:
        """Add a whole event."""
        self.events[nid] = event
        if rejected:
            self.rejected.add(nid)


class Loader:
    """Asks for parts of the graph, for each but once in a resolution."""

    __slots__ = ("_asked_edges", "_asked_events", "graph")

    def __init__(self, graph: AuthGraph) -> None:
        self.graph = graph
        self._asked_edges: set[int] = set()
        self._asked_events: set[int] = set()

    def edges(self, nids: Iterable[int]) -> Loading[None]:
        """Have the auth events of *nids* loaded."""
        loaded = self.graph.auth_nids
        missing = {nid for nid in nids if nid not in loaded} - self._asked_edges
        if missing:
            self._asked_edges |= missing
            yield Missing(edges=missing)

    def events(self, nids: Iterable[int]) -> Loading[None]:
        """Have the events *nids* loaded whole."""
        loaded = self.graph.events
        missing = {nid for nid in nids if nid not in loaded} - self._asked_events
        if missing:
            self._asked_events |= missing
            yield Missing(events=missing)

    def auth_of(self, nid: int) -> tuple[int, ...]:
        """The auth events of an event whose edges were asked for."""
        return self.graph.auth_nids.get(nid, ())

    def power_levels_of(self, nid: int) -> Loading[int | None]:
        """The ``m.room.power_levels`` among the auth events of *nid*."""
        yield from self.edges((nid,))
        auth_nids = self.auth_of(nid)
        yield from self.edges(auth_nids)
        known = self.graph.power_levels
        return next((each for each in auth_nids if each in known), None)

    def reachable(self, nids: Collection[int], *, floor: int) -> Loading[set[int]]:
        """*nids* and the events of their auth chains that are numbered from *floor*."""
        seen = set(nids)
        level = seen
        while level:
            yield from self.edges(level)
            level = {
                auth_nid
                for nid in level
                for auth_nid in self.auth_of(nid)
                if auth_nid >= floor and auth_nid not in seen
            }
            seen |= level
        return seen
