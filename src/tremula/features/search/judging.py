"""Which of the documents that the index names somebody is shown.

The index knows neither who may see what nor that something was redacted a moment ago.
So each document counts for what the user can read there now: in the newest version of
the text that they may see.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.search import storage
from tremula.features.search.documents import (
    document_id,
    document_of,
    replaced_term,
)
from tremula.features.search.request import PageToken, SearchRequest
from tremula.features.search.storage import Wanted
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.access import Access, RoomAccess
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.visibility import Viewer

_EDITS_MAX: Final = 1_000
# Then others have their turn.
_AT_ONCE: Final = 50


class ReadableRoom(Struct, frozen=True):
    """A room, as far as the user may read it."""

    access: Access
    viewer: Viewer

    def shows(self, event: StoredEvent) -> bool:
        """Whether *event* is among what the user may read."""
        return (
            event.is_in_timeline
            and event.room_pos <= self.access.up_to
            and self.viewer.can_see(event)
        )


class Hit(Struct, frozen=True):
    """An event whose ``text``, as the user sees it, matches; ``doc_id`` is its place
    among the others, that of the newest text.
    """

    doc_id: int
    event: StoredEvent
    text: str
    rank: float
    room: ReadableRoom


class Reader(Struct, frozen=True):
    """Who searches: of ``ignored`` users no messages are shown."""

    user_id: UserId
    ignored: Collection[UserId]
    room_ids: Mapping[int, RoomId]


class _Read(Struct, frozen=True):
    """Events as the user may read them, and the rooms that they are in, by number."""

    events: Mapping[int, StoredEvent]
    rooms: Mapping[int, ReadableRoom]


class Judge(Struct, frozen=True):
    """Reads documents as somebody may see them."""

    access: RoomAccess
    events: EventStore
    erasures: Erasures

    async def hits(
        self, reader: Reader, doc_ids: Sequence[int], request: SearchRequest
    ) -> list[Hit]:
        """Of the documents, at most 500, those that *reader* is to be shown.

        Costs one query for the events that are not cached, one for their edits, what
        their rooms cost that are not in memory, and 40 µs a document.
        """
        found = await self.events.by_nids(map(abs, doc_ids))
        read = await self._read(reader, found.values(), {})
        originals = await self._originals(reader, read)
        edits = await self._newest_edits(reader, originals, read.rooms)
        hits = []
        for number, event in enumerate(originals.values(), 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            text_event = edits.get(event.event_nid, event)
            if text_event.event_nid not in read.events:
                # Another document of it matched; the newest does not.
                continue
            hit = _hit(event, text_event, read.rooms[event.room_nid], request)
            if hit is not None:
                hits.append(hit)
        return hits

    async def _read(
        self,
        reader: Reader,
        events: Iterable[StoredEvent],
        rooms: Mapping[int, ReadableRoom],
    ) -> _Read:
        """Those of *events* that *reader* may see, as they may see them."""
        by_room: dict[int, list[StoredEvent]] = {}
        for event in events:
            if event.is_state or event.sender not in reader.ignored:
                by_room.setdefault(event.room_nid, []).append(event)
        readable = dict(rooms)
        seen: dict[int, StoredEvent] = {}
        for room_nid, theirs in by_room.items():
            room = readable.get(room_nid) or await self._room(reader, room_nid)
            if room is None:
                continue
            readable[room_nid] = room
            shown: Sequence[StoredEvent] = list(filter(room.shows, theirs))
            if self.erasures.concern(shown):
                view = room.access.view
                shown = await self.erasures.shown(view, shown, reader.user_id)
            seen |= {event.event_nid: event for event in shown}
        return _Read(seen, readable)

    async def _room(self, reader: Reader, room_nid: int) -> ReadableRoom | None:
        room_id = reader.room_ids.get(room_nid)
        if room_id is None:
            return None
        try:
            access = await self.access.reading(reader.user_id, room_id)
        except Forbidden:
            return None
        viewer = await self.access.visibility.viewer(access.view, reader.user_id)
        # One that is open to all is searched by those only who have been in it.
        return ReadableRoom(access, viewer) if viewer.was_ever_joined else None

    async def _originals(self, reader: Reader, read: _Read) -> dict[int, StoredEvent]:
        """The events that were read, and those that they are edits of, by number."""
        originals: dict[int, StoredEvent] = {}
        edited: set[tuple[int, EventId]] = set()
        for event in read.events.values():
            document = document_of(event)
            if document is None:
                continue
            if document.replaces is None:
                originals[event.event_nid] = event
            else:
                edited.add((event.room_nid, document.replaces))
        targets = [await self.events.find(*each) for each in edited]
        others = [event for event in targets if event is not None]
        more = await self._read(reader, others, read.rooms)
        return originals | {
            nid: event for nid, event in more.events.items() if _is_editable(event)
        }

    async def _newest_edits(
        self,
        reader: Reader,
        originals: Mapping[int, StoredEvent],
        rooms: Mapping[int, ReadableRoom],
    ) -> dict[int, StoredEvent]:
        """The newest edit that *reader* may see of each of the events, by the number of
        the original.
        """
        by_id = {event.event_id: event for event in originals.values()}
        if not by_id:
            return {}
        edits = await storage.documents_before(
            self.events.db,
            PageToken().before,
            Wanted(one_of=(tuple(map(replaced_term, by_id)),)),
            limit=_EDITS_MAX,
        )
        found = await self.events.by_nids(map(abs, edits))
        read = await self._read(reader, found.values(), rooms)
        newest: dict[int, StoredEvent] = {}
        for edit in read.events.values():
            document = document_of(edit)
            if document is None or document.replaces is None:
                continue
            original = by_id.get(document.replaces)
            if original is None or not _may_replace(edit, original):
                continue
            before = newest.get(original.event_nid)
            if before is None or _age(before) < _age(edit):
                newest[original.event_nid] = edit
        return newest


def _hit(
    event: StoredEvent,
    text_event: StoredEvent,
    room: ReadableRoom,
    request: SearchRequest,
) -> Hit | None:
    document = document_of(text_event)
    if document is None or not request.filter.admits(
        event.type, event.sender, event.content
    ):
        return None
    rank = request.query.rank(document.text)
    if rank is None:
        return None
    return Hit(document_id(text_event), event, document.text, rank, room)


def _is_editable(event: StoredEvent) -> bool:
    document = document_of(event)
    return document is not None and document.replaces is None


def _may_replace(edit: StoredEvent, original: StoredEvent) -> bool:
    """CS "Validity of replacement events"."""
    return (
        edit.room_nid == original.room_nid
        and edit.sender == original.sender
        and edit.type == original.type
        and not original.is_state
    )


def _age(edit: StoredEvent) -> tuple[int, str]:
    """CS "Applying m.new_content": the most recent one counts."""
    return edit.origin_server_ts, edit.event_id
