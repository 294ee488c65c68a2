"""States of a room before and after its events."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId
from tremula.rooms import graph_storage
from tremula.rooms.branches import Branches, StateAt
from tremula.rooms.graph import Node, Place
from tremula.rooms.resolver import Arriving, Resolver
from tremula.rooms.room import Room
from tremula.rooms.whole_events import prev_ids


class EventStates(Struct, frozen=True):
    """Reads and resolves states; nothing of the room may be on its way to the disk."""

    db: Reader
    branches: Branches
    resolver: Resolver

    async def at(self, room: Room, places: Collection[Place]) -> dict[Place, StateAt]:
        """The states at *places*."""
        head = room.head
        return await self.branches.states_at(
            room.view.nid, places, current=head.state, room_pos=head.room_pos
        )

    async def resolve(
        self, room: Room, states: Sequence[StateAt], arriving: Arriving | None = None
    ) -> StateAt:
        """One state of *states*."""
        return await self.resolver.resolve(
            room.version, room.view.nid, states, arriving
        )

    async def after(self, room: Room, nid: int) -> StateAt | None:
        """The state after the event *nid*; None if it is not known."""
        place = (await self._node(nid)).place
        return None if place is None else (await self.at(room, [place]))[place]

    async def before(self, room: Room, nid: int) -> StateAt | None:
        """The state before the event *nid*; None if it is not known."""
        node = await self._node(nid)
        after = await self.after(room, nid)
        if after is None or not node.is_in_state:
            return after
        key = (node.type, node.state_key or "")
        return after.with_event(key, node.replaces_nid or 0)

    async def before_sibling(
        self, room: Room, event: Event, missing: Collection[EventId]
    ) -> StateAt | None:
        """The state before an event that has the very same previous events: it is the
        same, also where *missing* ones of those are not here.
        """
        nids = await graph_storage.namers_of_missing(self.db, room.view.nid, missing)
        for nid, _, _, server_json in await graph_storage.server_parts(self.db, nids):
            if set(prev_ids(server_json)) == set(event.prev_events):
                return await self.before(room, nid)
        return None

    async def before_stored(
        self, room: Room, event: Event, known: Mapping[EventId, StateAt]
    ) -> StateAt:
        """The state before a stored event whose previous events have the states *known*
        after them, or else those that are stored.
        """
        others = [each for each in event.prev_events if each not in known]
        nodes = await graph_storage.nodes_by_ids(self.db, others)
        places = {each.place for each in nodes.values() if each.place is not None}
        missing = [each for each in others if not _has_place(nodes.get(each))]
        if missing:
            state = await self.before_sibling(room, event, missing)
            assert state is not None, "it was known when the event was judged"
            return state
        states = [known[each] for each in set(event.prev_events) & known.keys()]
        states += (await self.at(room, places)).values()
        return await self.resolve(room, states)

    async def _node(self, nid: int) -> Node:
        ids = await graph_storage.ids_by_nids(self.db, [nid])
        [node] = (await graph_storage.nodes_by_ids(self.db, ids.values())).values()
        return node


def _has_place(node: Node | None) -> bool:
    return node is not None and node.place is not None
