"""Reads a room's past for other servers: states, auth chains, what came before."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.identifiers import EventId
from tremula.protocol.room_state import StateKey
from tremula.rooms import graph_storage
from tremula.rooms.branches import Branches, StateAt
from tremula.rooms.graph import Node, Standing
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.view import RoomView
from tremula.rooms.whole_events import auth_ids, nodes_of, portions, prev_ids
from tremula.rooms.wire import WirePdus

AUTH_CHAIN_MAX: Final = 100_000
"""How many events an auth chain is followed over."""

_SHOWN: Final = (Standing.ACCEPTED, Standing.SOFT_FAILED, Standing.BACKFILLED)
_GAP_STARTS_MAX: Final = 20


class RoomPast(Struct, frozen=True):
    """What peers ask about a room. Reads what is committed; takes no lock."""

    db: Reader
    pdus: WirePdus

    async def find(self, view: RoomView, event_id: EventId) -> Node | None:
        """The event of the room with this ID that this server has accepted for itself,
        soft-failed or not.
        """
        node = (await nodes_of(self.db, view.nid, [event_id])).get(event_id)
        return node if node is not None and node.standing in _SHOWN else None

    async def find_stored(self, view: RoomView, event_id: EventId) -> Node | None:
        """As `find`, be it known as an auth event or from a state only."""
        node = (await nodes_of(self.db, view.nid, [event_id])).get(event_id)
        is_rejected = node is not None and node.standing is Standing.REJECTED
        return None if is_rejected else node

    async def state_before(
        self, view: RoomView, node: Node
    ) -> dict[StateKey, int] | None:
        """The event numbers of the state before an event; None if it is not known."""
        after = await self._state_after(view, node)
        if after is None:
            return None
        before = after
        if node.is_in_state:
            key = (node.type, node.state_key or "")
            before = after.with_event(key, node.replaces_nid or 0)
        return before.entries()

    async def state_after(
        self, view: RoomView, node: Node
    ) -> dict[StateKey, int] | None:
        """The event numbers of the state after an event; None if it is not known."""
        after = await self._state_after(view, node)
        return None if after is None else after.entries()

    async def _state_after(self, view: RoomView, node: Node) -> StateAt | None:
        if node.place is None:
            return None
        # One moment: both change when something is committed.
        current, room_pos = view.state, view.room_pos
        states = await Branches(self.db).states_at(
            view.nid, [node.place], current=current, room_pos=room_pos
        )
        return states[node.place]

    async def auth_chain(self, nids: Iterable[int]) -> set[int]:
        """The auth events of *nids*, theirs, and so on.

        Costs two queries for 500 events; stops after `AUTH_CHAIN_MAX`.
        """
        chain: set[int] = set()
        level = set(nids)
        while level and len(chain) < AUTH_CHAIN_MAX:
            cited: set[int] = set()
            for part in portions(level):
                rows = await graph_storage.server_parts(self.db, part)
                named = {each for row in rows for each in auth_ids(row[3])}
                for ids in portions(named):
                    found = await graph_storage.nids_by_ids(self.db, ids)
                    cited.update(found.values())
                await asyncio.sleep(0)
            level = cited - chain
            chain |= cited
        return chain

    async def ids(self, nids: Collection[int]) -> dict[int, EventId]:
        """The IDs of events, by their numbers."""
        found: dict[int, EventId] = {}
        for part in portions(nids):
            found |= await graph_storage.ids_by_nids(self.db, part)
        return found

    async def missing_between(
        self,
        view: RoomView,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        min_depth: int,
        limit: int,
    ) -> list[Node]:
        """SS getMissingPreviousEvents: what came before *latest*, the oldest first.

        "a breadth-first walk of the prev_events for the latest_events, ignoring any
        events in earliest_events and stopping at the limit".
        """
        start = await nodes_of(self.db, view.nid, latest)

        def is_wanted(node: Node) -> bool:
            return node.event_id not in earliest and node.depth >= min_depth

        found = await self._walk(view, start.values(), limit, is_wanted)
        return sorted(found, key=_age)

    async def backfill(
        self, view: RoomView, event_ids: Collection[EventId], *, limit: int
    ) -> list[Node]:
        """SS backfillRoom: *event_ids* and what came before, the newest first."""
        start = [
            node
            for node in (await nodes_of(self.db, view.nid, event_ids)).values()
            if node.standing in _SHOWN
        ][:limit]
        before = await self._walk(view, start, limit - len(start), lambda _: True)
        return sorted([*start, *before], key=_age, reverse=True)

    async def newest_gap(self, view: RoomView, *, up_to: int) -> HistoryGap | None:
        """The gap before the newest of those events at the position *up_to* or before
        that name events which are not here.
        """
        missing = await graph_storage.newest_missing(
            self.db, view.nid, up_to=up_to, limit=_GAP_STARTS_MAX
        )
        if not missing:
            return None
        newest_pos = missing[0][1]
        return HistoryGap(
            newest_pos, tuple(each for each, pos in missing if pos == newest_pos)
        )

    async def _walk(
        self,
        view: RoomView,
        start: Iterable[Node],
        limit: int,
        is_wanted: Callable[[Node], bool],
    ) -> list[Node]:
        """Go back from *start* breadth first. Two queries a step.

        Rejected events are gone over and not returned.
        """
        level = list(start)
        seen = {node.event_id for node in level}
        found: list[Node] = []
        while level and len(found) < limit:
            parts = [
                row
                for part in portions([node.nid for node in level])
                for row in await graph_storage.server_parts(self.db, part)
            ]
            named = {each for row in parts for each in prev_ids(row[3])} - seen
            seen |= named
            nodes = await nodes_of(self.db, view.nid, named)
            level = sorted(filter(is_wanted, nodes.values()), key=_age, reverse=True)
            level = [node for node in level if node.standing is not Standing.OUTLIER]
            found += [node for node in level if node.standing in _SHOWN]
        return found[:limit]


def _age(node: Node) -> tuple[int, int]:
    return node.depth, node.nid
