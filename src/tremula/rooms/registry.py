"""The rooms in memory, loaded when first asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.federation.outbox import Outbox
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots, slot_of
from tremula.protocol.identifiers import RoomId
from tremula.protocol.room_state import CREATE
from tremula.protocol.room_versions import get_room_version
from tremula.rooms import events_storage, graph_storage, partial_storage, storage
from tremula.rooms.events_storage import NewestEvent
from tremula.rooms.graph import LIVE_BRANCH
from tremula.rooms.marking import Markers
from tremula.rooms.memberships import Memberships
from tremula.rooms.partial import Completions, PartialState
from tremula.rooms.room import Room
from tremula.rooms.staging import EventWriter, OwnServer, RoomChange
from tremula.rooms.state import StateMap
from tremula.rooms.view import RoomView

STATE_ENTRIES_MAX: Final = 200_000
"""What `RoomRegistry` holds by default; an entry takes about 400 bytes, so 80 MB."""


class RoomRegistry(Struct):
    """One `Room` a room id, as long as it is in use or lately was."""

    db: Reader
    journal: Journal
    slots: Slots
    own: OwnServer
    memberships: Memberships
    outbox: Outbox
    state_entries_max: int = STATE_ENTRIES_MAX
    markers: Markers = field(default_factory=Markers)
    completions: Completions = field(default_factory=Completions)
    _rooms: OrderedDict[RoomId, Room] = field(default_factory=OrderedDict)
    _loads: dict[RoomId, "_Load"] = field(default_factory=dict)
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
            load = self._loads[room_id] = _Load()
            load.task = asyncio.ensure_future(self._load(room_id, load))
            load.task.add_done_callback(lambda _: self._loads.pop(room_id, None))
        assert load.task is not None
        return await asyncio.shield(load.task)

    def find_loaded(self, room_id: RoomId) -> Room | None:
        """The room of this id if it is in memory."""
        return self._rooms.get(room_id)

    def loaded(self) -> Collection[Room]:
        """The rooms in memory: live, as they come and go."""
        return self._rooms.values()

    @property
    def state_entries(self) -> int:
        """How many entries the states of the rooms in memory have together."""
        return self._entries

    async def stop(self) -> None:
        """End what is on its way into memory, for nobody."""
        tasks = [load.task for load in self._loads.values() if load.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _writer(self) -> EventWriter:
        return EventWriter(self.own, self.memberships, self.outbox)

    def new(self, view: RoomView) -> Room:
        """The write side of a room that has no event in its timeline yet."""
        return Room(view, None, writer=self._writer, markers=self.markers)

    def add(self, room: Room) -> None:
        """Keep a room, and let go of those that nobody asked for lately."""
        room.leave_history_space()
        self._rooms[room.view.room_id] = room
        self._weigh(room)
        while self._entries > self.state_entries_max and self._drop_oldest():
            pass

    def discard(self, room: Room) -> None:
        """Forget a room whose head is no longer to be built upon."""
        if self.holds(room):
            del self._rooms[room.view.room_id]
            self._entries -= self._weights.pop(room.view.room_id)

    def discard_id(self, room_id: RoomId) -> None:
        """Read the room of this id anew: more of it has changed than is told."""
        room = self._rooms.get(room_id)
        if room is not None:
            self.discard(room)
        if room_id in self._loads:
            self._loads[room_id].begins_anew = True

    def discard_idle(self) -> None:
        """Read all rooms anew, but for those that are being written to here."""
        for room in list(self._rooms.values()):
            if room.in_flight == 0 or not self.slots.holds(room.view.room_id):
                self.discard(room)
        for load in self._loads.values():
            load.begins_anew = True

    def note(self, change: RoomChange) -> None:
        """A change is told. The room is not in memory, but may be on its way there."""
        load = self._loads.get(change.room_id)
        if load is not None:
            load.told.append(change)

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

    def __post_init__(self) -> None:
        self.slots.on_taken(self._discard_taken)

    def _discard_taken(self, slots: Collection[int]) -> None:
        # Others may have written to them since: what is built upon is read anew.
        for room_id in [*self._rooms, *self._loads]:
            if slot_of(room_id) in slots:
                self.discard_id(room_id)

    async def _load(self, room_id: RoomId, load: "_Load") -> Room | None:
        while True:
            load.begins_anew = False
            load.told.clear()
            room = await self._read(room_id)
            if load.begins_anew:
                continue
            if room is not None:
                load.bring_up_to_date(room)
                self.add(room)
            return room

    async def _read(self, room_id: RoomId) -> Room | None:
        row = await storage.find_room(self.db, room_id)
        if row is None:
            return None
        # Before the state: that may be newer, and is brought up to date, never older.
        newest = await events_storage.find_newest(self.db, row.room_nid)
        state = StateMap.of(await storage.current_state(self.db, row.room_nid))
        if CREATE not in state:
            # Known by an invitation or a knock only.
            return None
        if newest is not None:
            # Another process may have stored it, whose news are on their way.
            self.journal.observe(newest.journal_pos)
            await self.journal.settled(newest.journal_pos)
        view = RoomView(
            nid=row.room_nid,
            room_id=row.room_id,
            version=get_room_version(row.room_version),
            state=state,
            room_pos=0,
        )
        partial = await partial_storage.find_partial(self.db, row.room_nid)
        if partial is not None and newest is not None:
            newest = await self._apply_partial(view, newest, *partial)
        room = Room(
            view,
            newest,
            writer=self._writer,
            markers=self.markers,
            extremities=await graph_storage.extremities(self.db, row.room_nid),
        )
        view.room_pos = view.state_pos = room.head.room_pos
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


class _Load(Struct):
    """A room on its way into memory, and what has been told of it meanwhile."""

    task: "asyncio.Task[Room | None] | None" = None
    begins_anew: bool = False
    told: list[RoomChange] = field(default_factory=list[RoomChange])

    def bring_up_to_date(self, room: Room) -> None:
        for change in self.told:
            if change.stored.room_pos > room.view.room_pos:
                room.view.apply(change.stored.room_pos, change.update)
