"""The rooms in memory, loaded when first asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.protocol.identifiers import RoomId
from tremula.protocol.room_state import CREATE
from tremula.protocol.room_versions import get_room_version
from tremula.rooms import events_storage, graph_storage, partial_storage, storage
from tremula.rooms.events_storage import NewestEvent
from tremula.rooms.graph import LIVE_BRANCH
from tremula.rooms.memberships import Memberships
from tremula.rooms.partial import Completions, PartialState
from tremula.rooms.room import Room
from tremula.rooms.staging import EventWriter, OwnServer
from tremula.rooms.state import StateMap
from tremula.rooms.view import RoomView

STATE_ENTRIES_MAX: Final = 200_000
"""What `RoomRegistry` holds by default; an entry takes about 400 bytes, so 80 MB."""


class RoomRegistry(Struct):
    """One `Room` a room id, as long as it is in use or lately was."""

    db: Reader
    own: OwnServer
    memberships: Memberships
    state_entries_max: int = STATE_ENTRIES_MAX
    completions: Completions = field(default_factory=Completions)
    _rooms: OrderedDict[RoomId, Room] = field(default_factory=OrderedDict)
    _loads: dict[RoomId, "asyncio.Future[Room | None]"] = field(default_factory=dict)
    # State entries of each room when it was last looked at, and their sum.
    _weights: dict[RoomId, int] = field(default_factory=dict)
    _entries: int = 0

    async def find(self, room_id: RoomId) -> Room | None:
        """The room of this id; no query if it is in memory."""
        room = self._rooms.get(room_id)
        if room is not None:
            self._rooms.move_to_end(room_id)
            self._weigh(room)
            return room
        load = self._loads.get(room_id)
        if load is None:
            load = self._loads[room_id] = asyncio.ensure_future(self._load(room_id))
            load.add_done_callback(lambda _: self._loads.pop(room_id, None))
        return await asyncio.shield(load)

    def find_loaded(self, room_id: RoomId) -> Room | None:
        """The room of this id if it is in memory."""
        return self._rooms.get(room_id)

    def loaded(self) -> Collection[Room]:
        """The rooms in memory: live, as they come and go."""
        return self._rooms.values()

    @property
    def _writer(self) -> EventWriter:
        return EventWriter(self.own, self.memberships)

    def new(self, view: RoomView) -> Room:
        """The write side of a room that has no event in its timeline yet."""
        return Room(view, None, writer=self._writer)

    def add(self, room: Room) -> None:
        """Keep a room, and let go of those that nobody asked for lately."""
        self._rooms[room.view.room_id] = room
        self._weigh(room)
        while self._entries > self.state_entries_max and self._drop_oldest():
            pass

    def discard(self, room: Room) -> None:
        """Forget a room whose head is no longer to be built upon."""
        if self.holds(room):
            del self._rooms[room.view.room_id]
            self._entries -= self._weights.pop(room.view.room_id)

    def discard_idle(self) -> None:
        """Forget all rooms that nothing is being written to."""
        while self._drop_oldest():
            pass

    def holds(self, room: Room) -> bool:
        """Whether *room* is still the one that may be written to."""
        return self._rooms.get(room.view.room_id) is room

    def _weigh(self, room: Room) -> None:
        weight = len(room.head.state)
        self._entries += weight - self._weights.get(room.view.room_id, 0)
        self._weights[room.view.room_id] = weight

    def _drop_oldest(self) -> bool:
        for room in self._rooms.values():
            if room.in_flight == 0:
                self.discard(room)
                return True
        return False

    async def _load(self, room_id: RoomId) -> Room | None:
        row = await storage.find_room(self.db, room_id)
        if row is None:
            return None
        state = StateMap.of(await storage.current_state(self.db, row.room_nid))
        if CREATE not in state:
            # Known by an invitation or a knock only.
            return None
        view = RoomView(
            nid=row.room_nid,
            room_id=row.room_id,
            version=get_room_version(row.room_version),
            state=state,
            room_pos=0,
        )
        newest = await events_storage.find_newest(self.db, row.room_nid)
        partial = await partial_storage.find_partial(self.db, row.room_nid)
        if partial is not None and newest is not None:
            newest = await self._apply_partial(view, newest, *partial)
        room = Room(
            view,
            newest,
            writer=self._writer,
            extremities=await graph_storage.extremities(self.db, row.room_nid),
        )
        view.room_pos = view.state_pos = room.head.room_pos
        self.add(room)
        return room

    async def _apply_partial(
        self,
        view: RoomView,
        newest: NewestEvent,
        partial: PartialState,
        completed_pos: int | None,
    ) -> NewestEvent:
        """A room that was joined without its members: *newest*, where the room is."""
        if completed_pos is None:
            view.become_partial(partial)
        else:
            view.completed_pos = completed_pos
        # A correction of the state comes after all events.
        changed_pos = await graph_storage.newest_branch_pos(
            self.db, view.nid, LIVE_BRANCH
        )
        return replace(newest, room_pos=max(newest.room_pos, changed_pos))
