"""The entries of the published rooms, kept in memory as their rooms change."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.directory import storage
from tremula.features.directory.entries import Entry, entry_of
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import RoomId
from tremula.rooms.events import PersistedEvent
from tremula.rooms.partial import COMPLETED_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.view import RoomView

TOPIC: Final = "directory"


class VisibilityChange(Struct, frozen=True, kw_only=True):
    """What is announced when a room was published, or is no longer."""

    room_nid: int
    room_id: RoomId
    is_published: bool


class PublishedRooms:
    """Every published room's entry, read again only when something happened in it."""

    def __init__(self, db: Reader, journal: Journal, reader: RoomReader) -> None:
        self._db = db
        self._reader = reader
        self._rooms: dict[int, RoomId] | None = None
        self._entries: dict[int, Entry] = {}
        self._ranked: Sequence[Entry] | None = None
        # Counts the changes, so that a slow read notices one under its hands.
        self._changes = 0
        journal.subscribe(EVENT_TOPIC, self._on_event)
        # By this, the members are others than the events say.
        journal.subscribe(COMPLETED_TOPIC, self._on_event)
        journal.subscribe(TOPIC, self._on_visibility)
        journal.on_forget(self._forget_all)

    async def ranked(self) -> Sequence[Entry]:
        """All entries in the directory's order; rooms without members left out.

        Reads only the rooms in which something happened since the last call.
        """
        if self._ranked is not None:
            return self._ranked
        changes = self._changes
        rooms = await self._published()
        entries = [await self._entry(nid, room_id) for nid, room_id in rooms.items()]
        ranked = sorted(
            (entry for entry in entries if entry.joined_count),
            key=lambda entry: entry.rank,
        )
        if changes == self._changes:
            self._ranked = ranked
        return ranked

    async def _published(self) -> Mapping[int, RoomId]:
        while self._rooms is None:
            changes = self._changes
            rooms = dict(await storage.published_rooms(self._db))
            if changes == self._changes:
                self._rooms = rooms
        return dict(self._rooms)

    async def _entry(self, room_nid: int, room_id: RoomId) -> Entry:
        entry = self._entries.get(room_nid)
        if entry is None:
            entry = entry_of(await self._reader.get_room(room_id))
            self._entries[room_nid] = entry
        return entry

    def publish(self, unit: JournalUnit, room: RoomView) -> None:
        """Put a room into the directory."""
        storage.insert_published(unit, room_nid=room.nid, room_id=room.room_id)
        self._announce(unit, room, is_published=True)

    def unpublish(self, unit: JournalUnit, room: RoomView) -> None:
        """Take a room out of the directory."""
        storage.delete_published(unit, room_nid=room.nid)
        self._announce(unit, room, is_published=False)

    def _announce(
        self, unit: JournalUnit, room: RoomView, *, is_published: bool
    ) -> None:
        change = VisibilityChange(
            room_nid=room.nid, room_id=room.room_id, is_published=is_published
        )
        unit.announce(TOPIC, room.nid, change, pos=unit.pos())

    def _on_visibility(self, _pos: int, _key: Hashable, payload: object) -> None:
        assert isinstance(payload, VisibilityChange)
        self._changed(payload.room_nid)
        if self._rooms is None:
            return
        if payload.is_published:
            self._rooms[payload.room_nid] = payload.room_id
        else:
            self._rooms.pop(payload.room_nid, None)

    def _on_event(self, _pos: int, _key: Hashable, payload: object) -> None:
        assert isinstance(payload, PersistedEvent)
        room_nid = payload.stored.room_nid
        if self._rooms is None or room_nid not in self._rooms:
            return
        # A redaction may empty a name or a topic.
        if payload.stored.is_state or payload.redacts is not None:
            self._changed(room_nid)

    def _forget_all(self) -> None:
        self._changes += 1
        self._rooms = self._ranked = None
        self._entries.clear()

    def _changed(self, room_nid: int) -> None:
        self._changes += 1
        self._ranked = None
        self._entries.pop(room_nid, None)
