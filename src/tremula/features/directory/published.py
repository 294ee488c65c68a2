"""The entries of the published rooms, kept in memory as their rooms change."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.directory import storage
from tremula.features.directory.entries import Entry, entry_of
from tremula.features.directory.storage import SERVERS_OWN, Listing
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import RoomId
from tremula.protocol.third_party_networks import instance_id
from tremula.rooms.events import PersistedEvent
from tremula.rooms.partial import COMPLETED_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.view import RoomView

TOPIC: Final = "directory"


class VisibilityChange(Struct, frozen=True, kw_only=True):
    """What is announced when a room was published, or is no longer: in one directory,
    or without a ``listing`` in all.
    """

    room_nid: int
    room_id: RoomId
    is_published: bool
    listing: Listing | None


class PublishedRooms:
    """Every published room's entry, read again only when something happened in it."""

    def __init__(self, db: Reader, journal: Journal, reader: RoomReader) -> None:
        self._db = db
        self._reader = reader
        self._listings: dict[Listing, dict[int, RoomId]] | None = None
        self._entries: dict[int, Entry] = {}
        # By directory, None for all of them together.
        self._ranked: dict[Listing | None, Sequence[Entry]] = {}
        # Counts the changes, so that a slow read notices one under its hands.
        self._changes = 0
        journal.subscribe(EVENT_TOPIC, self._on_event)
        # By this, the members are others than the events say.
        journal.subscribe(COMPLETED_TOPIC, self._on_event)
        journal.subscribe(TOPIC, self._on_visibility)
        journal.on_forget(self._forget_all)

    async def ranked(self, listing: Listing | None = SERVERS_OWN) -> Sequence[Entry]:
        """All entries of a directory in its order, or with None those of all of them;
        rooms without members left out.

        Reads only the rooms in which something happened since the last call.
        """
        known = self._ranked.get(listing)
        if known is not None:
            return known
        changes = self._changes
        rooms = await self._published(listing)
        entries = [await self._entry(nid, room_id) for nid, room_id in rooms.items()]
        ranked = sorted(
            (entry for entry in entries if entry is not None and entry.joined_count),
            key=lambda entry: entry.rank,
        )
        if changes == self._changes:
            self._ranked[listing] = ranked
        return ranked

    async def find_network(self, instance: str) -> Listing | None:
        """The directory of a network that has any rooms, by its `instance_id`."""
        for listing in await self._read_listings():
            if instance_id(listing.appservice_id, listing.network_id) == instance:
                return listing
        return None

    async def _published(self, listing: Listing | None) -> Mapping[int, RoomId]:
        listings = await self._read_listings()
        if listing is not None:
            return dict(listings.get(listing, {}))
        return {nid: rooms[nid] for rooms in listings.values() for nid in rooms}

    async def _read_listings(self) -> Mapping[Listing, Mapping[int, RoomId]]:
        while self._listings is None:
            changes = self._changes
            listings: dict[Listing, dict[int, RoomId]] = {}
            for listing, room_nid, room_id in await storage.published_rooms(self._db):
                listings.setdefault(listing, {})[room_nid] = room_id
            if changes == self._changes:
                self._listings = listings
        return self._listings

    async def _entry(self, room_nid: int, room_id: RoomId) -> Entry | None:
        entry = self._entries.get(room_nid)
        if entry is None:
            view = await self._reader.find_room(room_id)
            if view is None:
                # Deleted as it was published.
                return None
            entry = self._entries[room_nid] = entry_of(view)
        return entry

    def publish(
        self, unit: JournalUnit, room: RoomView, listing: Listing = SERVERS_OWN
    ) -> None:
        """Put a room into a directory."""
        storage.insert_published(unit, listing, room_nid=room.nid, room_id=room.room_id)
        self._announce(unit, room, listing, is_published=True)

    def unpublish(
        self, unit: JournalUnit, room: RoomView, listing: Listing = SERVERS_OWN
    ) -> None:
        """Take a room out of a directory."""
        storage.delete_published(unit, listing, room_nid=room.nid)
        self._announce(unit, room, listing, is_published=False)

    def forget(self, unit: JournalUnit, room: RoomView) -> None:
        """Take a room out of all directories."""
        storage.delete_published_anywhere(unit, room_nid=room.nid)
        self._announce(unit, room, None, is_published=False)

    def _announce(
        self,
        unit: JournalUnit,
        room: RoomView,
        listing: Listing | None,
        *,
        is_published: bool,
    ) -> None:
        change = VisibilityChange(
            room_nid=room.nid,
            room_id=room.room_id,
            is_published=is_published,
            listing=listing,
        )
        unit.announce(TOPIC, room.nid, change, pos=unit.pos())

    def _on_visibility(self, _pos: int, _key: Hashable, payload: object) -> None:
        assert isinstance(payload, VisibilityChange)
        self._changed(payload.room_nid)
        listing, listings = payload.listing, self._listings
        if listings is None:
            return
        if payload.is_published and listing is not None:
            rooms = listings.setdefault(listing, {})
            rooms[payload.room_nid] = payload.room_id
            return
        for each in list(listings) if listing is None else [listing]:
            rooms = listings.get(each, {})
            rooms.pop(payload.room_nid, None)
            if not rooms:
                listings.pop(each, None)

    def _on_event(self, _pos: int, _key: Hashable, payload: object) -> None:
        assert isinstance(payload, PersistedEvent)
        room_nid = payload.stored.room_nid
        if room_nid not in self._entries:
            return
        # A redaction may empty a name or a topic.
        if payload.stored.is_state or payload.redacts is not None:
            self._changed(room_nid)

    def _forget_all(self) -> None:
        self._changes += 1
        self._listings = None
        self._ranked.clear()
        self._entries.clear()

    def _changed(self, room_nid: int) -> None:
        self._changes += 1
        self._ranked.clear()
        self._entries.pop(room_nid, None)
