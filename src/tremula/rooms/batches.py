"""Many messages at once, for rooms that don't federate: such a room is a list.

No rule is asked, nothing is signed and no graph is kept: whoever calls this has decided
who may send what. A batch is one transaction with one statement for all its rows.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from tremula.infra.clock import Clock
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import Forbidden, InvalidParam, NotFound
from tremula.protocol.events import BuiltEvent, EventDraft
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.local_events import NO_SERVER_JSON, build_local_event
from tremula.rooms import batches_storage, events_storage
from tremula.rooms.chosen_ids import check_places
from tremula.rooms.event_store import END_POS
from tremula.rooms.events import StoredEvent, new_local_event_id
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.graph import Extremity
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.relations import record_relation
from tremula.rooms.room import Room
from tremula.rooms.staging import (
    SKIPPED_TOPIC,
    Staged,
    StateAround,
    announce_reread,
)
from tremula.rooms.view import HISTORY_END_POS, HISTORY_FROM_POS, RoomView

_IDS_PER_QUERY: Final = 500
# Between so many, others have their turn: some milliseconds.
_BUILT_AT_ONCE: Final = 250
# Of more than so many, the oldest are not told one by one: that would take longer than
# storing them, and push the news of all other rooms out of memory.
_TOLD_MAX: Final = 100


class Direction(StrEnum):
    """Where a batch goes: after all that there is, before the oldest message, or after
    all if there is no message.
    """

    APPEND = "append"
    PREPEND = "prepend"
    APPEND_IF_EMPTY = "append_if_empty"


class BatchEvent(Struct, frozen=True):
    """A message. ``origin_server_ts`` is now unless given, its ID a random one."""

    type: str
    sender: UserId
    content: dict[str, Any]
    event_id: EventId | None = None
    origin_server_ts: int | None = None


class Batch(Struct, frozen=True):
    """Messages of an application service, oldest first.

    Nobody is notified of them unless it ``notifies`` and they are appended.
    """

    events: tuple[BatchEvent, ...]
    direction: Direction
    appservice_id: str
    notifies: bool = False


class Also(Protocol):
    """Adds what is to be stored together with a batch."""

    async def prepare(self, view: RoomView) -> None:
        """Read what that takes, once more after a conflict."""
        ...

    def add(
        self, unit: JournalUnit, view: RoomView, newest: EventId, room_pos: int
    ) -> None:
        """Add it; *newest* is the last event of the batch."""
        ...


class _Place(Struct, frozen=True):
    """Right before the position ``end_pos``, where everything before it came at the
    journal position ``journal_pos`` at the latest.
    """

    end_pos: int
    journal_pos: int


_Known = Mapping[EventId, int]


class Batches(Struct, frozen=True):
    """Stores batches, where the room's slot is held."""

    registry: RoomRegistry
    journal: Journal
    clock: Clock
    _adding: KeyedLocks[RoomId] = field(default_factory=KeyedLocks[RoomId])

    async def add(
        self, room_id: RoomId, batch: Batch, also: Also | None = None
    ) -> list[EventId]:
        """Store *batch*, all of it or nothing, durable on return; the events' IDs.

        What has an ID that is in the room already stays as it is.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the room federates, or an ID is that of another room's event.
            InvalidParam: there is no place for more history.
            TooLarge, BadJson: something is no event.
        """
        async with self._adding.of(room_id):
            room = await self._room(room_id)
            own = self.registry.own.name
            event_ids = [
                each.event_id or new_local_event_id(room.version, own)
                for each in batch.events
            ]
            await reread_on_conflict(lambda: self._add(room_id, batch, event_ids, also))
        return event_ids

    async def _add(
        self,
        room_id: RoomId,
        batch: Batch,
        event_ids: Sequence[EventId],
        also: Also | None,
    ) -> None:
        room = await self._room(room_id)
        known = await self._known(room.view, event_ids)
        built = await self._built(room, batch, event_ids, known)
        if also is not None:
            await also.prepare(room.view)
        place = await self._place(room.view, batch.direction, len(built))
        if place is None:
            room = await self._ready(room, built if batch.notifies else ())
        unit = self.journal.unit()
        if place is None:
            placed = _append(unit, room, built, batch)
        else:
            placed = _prepend(unit, room.view, built, place)
        if also is not None and event_ids:
            newest = event_ids[-1]
            also.add(unit, room.view, newest, {**known, **placed}[newest])
        if place is None and built:
            await room.submit(self.journal, unit, discard=self.registry.discard)
        else:
            await self.journal.commit(unit)

    async def _room(self, room_id: RoomId) -> Room:
        room = await self.registry.find(room_id)
        if room is None:
            raise NotFound("Unknown room.")
        if room.view.is_federated:
            raise Forbidden("This room may federate; only others take batches")
        return room

    async def _ready(self, room: Room, built: Sequence[BuiltEvent]) -> Room:
        """The room, which may be written to until something is awaited."""
        upcoming = [each.event for each in built]
        await room.markers.prepare(room.view, upcoming)
        while room.lock.locked() or not self.registry.holds(room):
            async with room.lock:
                room = await self._room(room.view.room_id)
            await room.markers.prepare(room.view, upcoming)
        return room

    async def _known(self, view: RoomView, event_ids: Sequence[EventId]) -> _Known:
        """The places of those that are in the room."""
        known: dict[EventId, int] = {}
        for start in range(0, len(event_ids), _IDS_PER_QUERY):
            places = await batches_storage.places_of(
                self.registry.db, event_ids[start : start + _IDS_PER_QUERY]
            )
            known |= check_places(places, view.nid)
        return known

    async def _built(
        self,
        room: Room,
        batch: Batch,
        event_ids: Sequence[EventId],
        known: _Known,
    ) -> list[BuiltEvent]:
        """Those that are new, each once."""
        now_ms = self.clock.now_ms()
        new: dict[EventId, BatchEvent] = {}
        for event_id, each in zip(event_ids, batch.events, strict=True):
            if event_id not in known:
                new.setdefault(event_id, each)
        built: list[BuiltEvent] = []
        for event_id, each in new.items():
            if len(built) % _BUILT_AT_ONCE == 0:
                await asyncio.sleep(0)
            draft = EventDraft(
                room_id=room.view.room_id,
                type=each.type,
                sender=each.sender,
                state_key=None,
                content=each.content,
                origin_server_ts=(
                    now_ms if each.origin_server_ts is None else each.origin_server_ts
                ),
            )
            built.append(
                build_local_event(room.version, draft, event_id=event_id, depth=0)
            )
        return built

    async def _place(
        self, view: RoomView, direction: Direction, count: int
    ) -> _Place | None:
        """Where history goes; None: it is appended."""
        if direction is Direction.APPEND:
            return None
        db = self.registry.db
        oldest_pos = await batches_storage.oldest_message_pos(db, view.nid)
        if oldest_pos is None and direction is Direction.APPEND_IF_EMPTY:
            return None
        end_pos = _history_end(oldest_pos)
        before = await events_storage.events_backwards(
            db, view.nid, before=end_pos, after=-END_POS, limit=1
        )
        if not before:
            return _Place(end_pos, view.nid)
        floor_pos = before[0].room_pos
        if floor_pos < HISTORY_FROM_POS < end_pos:
            floor_pos = HISTORY_FROM_POS
        if end_pos - floor_pos <= count:
            raise InvalidParam("There is no place for so much history in this room")
        return _Place(end_pos, before[0].journal_pos)


def _history_end(oldest_pos: int | None) -> int:
    """Where history ends if the oldest message is at *oldest_pos*.

    It has its place after the events that the room was created with. A room that was
    written to before it had such a place has it before them.
    """
    if oldest_pos is None:
        return HISTORY_END_POS
    if oldest_pos > HISTORY_FROM_POS:
        return min(oldest_pos, HISTORY_END_POS)
    return min(oldest_pos, 1)


def _append(
    unit: JournalUnit, room: Room, built: Sequence[BuiltEvent], batch: Batch
) -> dict[EventId, int]:
    """Put *built* after all that there is; their places."""
    if not built:
        return {}
    head, view = room.head, room.view
    depth = min(head.depth + 1, room.version.depth_max)
    part = ServerPart(depth, NO_SERVER_JSON)
    around = StateAround(head.state, head.state, head.auth.power_levels)
    messages: list[StoredEvent] = []
    untold = 0 if batch.notifies else max(0, len(built) - _TOLD_MAX)
    for room_pos, each in enumerate(built, head.room_pos + 1):
        stored = StoredEvent.of(
            each, event_nid=unit.pos(), room_nid=view.nid, room_pos=room_pos
        )
        messages.append(stored)
        record_relation(unit, stored, each.event.content)
        item = Staged(
            each.event,
            stored,
            part,
            is_silent=not batch.notifies,
            known_to=batch.appservice_id,
        )
        if len(messages) > untold:
            room.writer.announce(unit, view, item, around, is_sent=False)
        elif len(messages) == untold:
            unit.announce(SKIPPED_TOPIC, view.nid, None, pos=stored.event_nid)
        room.markers.mark(unit, view, item, around)
    batches_storage.insert_local_messages(unit, messages, depth=depth)
    newest = messages[-1]
    extremity = Extremity(newest.event_nid, newest.event_id, depth)
    room.follow(unit, replace(head, extremities=(extremity,), room_pos=newest.room_pos))
    unit.wake_rooms(view.joined_members(), (view.nid,))
    return {each.event_id: each.room_pos for each in messages}


def _prepend(
    unit: JournalUnit, view: RoomView, built: Sequence[BuiltEvent], place: _Place
) -> dict[EventId, int]:
    """Put *built* at a place in the past; their places.

    They stand there as if they had come then, and so are no news to anybody. The newest
    comes first, as in all history that is filled in.
    """
    messages: list[StoredEvent] = []
    for distance, each in enumerate(reversed(built), 1):
        stored = StoredEvent.of(
            each,
            event_nid=unit.pos(),
            room_nid=view.nid,
            room_pos=place.end_pos - distance,
        )
        stored.arrived_pos = place.journal_pos
        messages.append(stored)
        record_relation(unit, stored, each.event.content)
    batches_storage.insert_local_messages(unit, messages, depth=0)
    announce_reread(unit, view)
    unit.on_commit(lambda: view.reach(HISTORY_END_POS - 1))
    return {each.event_id: each.room_pos for each in messages}
