"""Resolves states of a room, loading what turns out to be needed."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct, field

from tremula.infra.db import Reader
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.state_resolution import (
    AuthGraph,
    ForkedState,
    Missing,
    Resolution,
)
from tremula.rooms import graph_storage
from tremula.rooms.branches import StateAt
from tremula.rooms.graph import Standing
from tremula.rooms.whole_events import auth_ids, portions, whole_events

ARRIVING_NID: Final = 2**62
"""Stands for an event that has no number yet: higher than that of any other."""

EDGES_MAX: Final = 200_000
"""How many events' auth events all rooms together keep; about 200 bytes each."""


class Arriving(Struct, frozen=True):
    """An event that is not stored yet, in states as `ARRIVING_NID`."""

    event: Event
    auth_nids: tuple[int, ...]


class Resolver(Struct):
    """State resolution over the database.

    Which auth events an event names never changes, so that is kept, for the rooms that
    were resolved last.
    """

    db: Reader
    edges_max: int = EDGES_MAX
    _graphs: OrderedDict[int, AuthGraph] = field(default_factory=OrderedDict)

    async def resolve(
        self,
        version: RoomVersion,
        room_nid: int,
        states: Sequence[StateAt],
        arriving: Arriving | None = None,
    ) -> StateAt:
        """One state of *states*, all of which are seen from the same current one."""
        distinct = list({frozenset(s.changes.items()): s for s in states}.values())
        if len(distinct) == 1:
            return distinct[0]
        keys = set[StateKey]().union(*(state.changes for state in distinct))
        forked = ForkedState.of(distinct, keys)
        kept = self._graph(room_nid)
        graph = AuthGraph(auth_nids=kept.auth_nids, power_levels=kept.power_levels)
        if arriving is not None:
            _add_arriving(graph, arriving)
        resolution = Resolution(version, forked, graph)
        while missing := resolution.advance():
            await self._load(graph, missing)
        _remove_arriving(graph)
        self._shrink()
        changes = {
            key: nid
            for key, nid in distinct[0].changes.items()
            if key not in forked.keys
        }
        changes |= dict.fromkeys(forked.keys, 0)
        return StateAt.of(distinct[0].current, changes | resolution.resolved)

    def _graph(self, room_nid: int) -> AuthGraph:
        graph = self._graphs.setdefault(room_nid, AuthGraph())
        self._graphs.move_to_end(room_nid)
        return graph

    def _shrink(self) -> None:
        edges = sum(len(graph.auth_nids) for graph in self._graphs.values())
        while edges > self.edges_max:
            _, graph = self._graphs.popitem(last=False)
            edges -= len(graph.auth_nids)

    async def _load(self, graph: AuthGraph, missing: Missing) -> None:
        await self._load_edges(graph, missing.edges)
        for each in await whole_events(self.db, missing.events):
            rejected = each.standing is Standing.REJECTED
            graph.add_event(each.nid, each.event, rejected=rejected)

    async def _load_edges(self, graph: AuthGraph, nids: Collection[int]) -> None:
        rows = [
            row
            for part in portions(nids)
            for row in await graph_storage.server_parts(self.db, part)
        ]
        cited = {nid: auth_ids(server_json) for nid, _, _, server_json in rows}
        known = await self._nids({each for ids in cited.values() for each in ids})
        for nid, event_type, state_key, _ in rows:
            graph.add_edges(
                nid,
                [known[each] for each in cited[nid] if each in known],
                type_=event_type,
                state_key=state_key,
            )

    async def _nids(self, event_ids: Collection[EventId]) -> dict[str, int]:
        found: dict[str, int] = {}
        for part in portions(event_ids):
            found |= await graph_storage.nids_by_ids(self.db, part)
        return found


def _add_arriving(graph: AuthGraph, arriving: Arriving) -> None:
    event = arriving.event
    graph.add_edges(
        ARRIVING_NID, arriving.auth_nids, type_=event.type, state_key=event.state_key
    )
    graph.add_event(ARRIVING_NID, event, rejected=False)


def _remove_arriving(graph: AuthGraph) -> None:
    """Forget it: next time, the number is another event's."""
    graph.auth_nids.pop(ARRIVING_NID, None)
    graph.power_levels.discard(ARRIVING_NID)
