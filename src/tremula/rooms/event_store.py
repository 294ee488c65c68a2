"""Reads stored events, newest ones from memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct, field

from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import JournalUnit
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import EventId
from tremula.rooms import annotations_storage, events_storage
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import Moment

_NIDS_PER_QUERY = 500
_MOMENTS_PER_QUERY = 500
_REDACTIONS_MAX = 1_000

# Past every position of a room.
END_POS = 2**62


class _Changes(Struct):
    """How often events have changed, otherwise than by redactions."""

    count: int = 0


class EventStore(Struct, frozen=True):
    """Events by number, id and place. What it returns is committed."""

    db: Reader
    cache: ByteLRU[int, StoredEvent]
    # What was being read meanwhile may be older, and is not kept.
    _changes: _Changes = field(default_factory=_Changes)
    # For what was read just before it was redacted.
    _redactions: OrderedDict[int, tuple[bytes, int]] = field(
        default_factory=OrderedDict[int, tuple[bytes, int]]
    )

    async def by_nids(self, nids: Iterable[int]) -> dict[int, StoredEvent]:
        """The events of these numbers; unknown ones are left out.

        Costs nothing for what is cached, else one query for 500 events.
        """
        found, missing = self.cache.pick(nids)
        changes = self._changes.count
        for start in range(0, len(missing), _NIDS_PER_QUERY):
            part = missing[start : start + _NIDS_PER_QUERY]
            for event in await events_storage.events_by_nids(self.db, part):
                found[event.event_nid] = self._remember(event, changes)
        return found

    async def by_nid(self, nid: int) -> StoredEvent:
        """The event of this number, which must exist."""
        return (await self.by_nids([nid]))[nid]

    def forget(self, nids: Iterable[int]) -> None:
        """Read these events anew next time: more of them has changed than redactions
        change.
        """
        self._changes.count += 1
        for nid in nids:
            self.cache.discard(nid)

    def forget_all(self) -> None:
        """Read every event anew next time."""
        self._changes.count += 1
        self.cache.clear()

    async def server_json(self, nids: Sequence[int]) -> dict[int, bytes]:
        """What only servers need of the events of these numbers."""
        found: dict[int, bytes] = {}
        for start in range(0, len(nids), _NIDS_PER_QUERY):
            part = nids[start : start + _NIDS_PER_QUERY]
            found |= await events_storage.server_json(self.db, part)
        return found

    async def stored_after(
        self, pos: int, *, up_to: int, types: Sequence[str], limit: int
    ) -> Sequence[StoredEvent]:
        """Events of all rooms and of these types, by the journal position of their
        storing; those that are only known from a state as well.
        """
        return await events_storage.stored_after(
            self.db, pos, up_to=up_to, types=types, limit=limit
        )

    async def placed_after(
        self, pos: int, *, up_to: int, types: Sequence[str], limit: int
    ) -> Sequence[StoredEvent]:
        """Events of all rooms and of these types, by the journal position of their
        coming into a timeline.
        """
        return await events_storage.placed_after(
            self.db, pos, up_to=up_to, types=types, limit=limit
        )

    async def find(self, room_nid: int, event_id: EventId) -> StoredEvent | None:
        """The event *event_id* if it is in the timeline of the room *room_nid*."""
        event = await self.find_stored(room_nid, event_id)
        return event if event is not None and event.is_in_timeline else None

    async def find_stored(self, room_nid: int, event_id: EventId) -> StoredEvent | None:
        """As `find`, be the event rejected, soft-failed, or known from a state only."""
        changes = self._changes.count
        event = await events_storage.event_by_id(self.db, event_id)
        if event is None or event.room_nid != room_nid:
            return None
        return self._remember(event, changes)

    async def find_anywhere(self, event_id: EventId) -> StoredEvent | None:
        """As `find_stored`, in whichever room it is."""
        changes = self._changes.count
        event = await events_storage.event_by_id(self.db, event_id)
        return None if event is None else self._remember(event, changes)

    async def get(self, room_nid: int, event_id: EventId) -> StoredEvent:
        """The event *event_id* of the room *room_nid*.

        Raises:
            NotFound: there is no such event in that room.
        """
        event = await self.find(room_nid, event_id)
        if event is None:
            raise NotFound("Event not found.")
        return event

    async def has_annotation(self, room_nid: int, digest: bytes) -> bool:
        """Whether there is an annotation, not redacted, of this digest."""
        return await annotations_storage.has_annotation(self.db, room_nid, digest)

    async def backwards(
        self, room_nid: int, *, before: int = END_POS, after: int = -END_POS, limit: int
    ) -> Sequence[StoredEvent]:
        """Events of the positions between, newest first. One index range."""
        changes = self._changes.count
        events = await events_storage.events_backwards(
            self.db, room_nid, before=before, after=after, limit=limit
        )
        return [self._remember(event, changes) for event in events]

    async def forwards(
        self, room_nid: int, *, after: int = -END_POS, before: int = END_POS, limit: int
    ) -> Sequence[StoredEvent]:
        """Events of the positions between, oldest first. One index range."""
        changes = self._changes.count
        events = await events_storage.events_forwards(
            self.db, room_nid, after=after, before=before, limit=limit
        )
        return [self._remember(event, changes) for event in events]

    async def nearest(
        self,
        room_nid: int,
        ts_ms: int,
        *,
        forwards: bool,
        span: tuple[int, int],
        accept: Callable[[Moment], bool],
    ) -> StoredEvent | None:
        """Of the events in the positions *span* that *accept* admits, the one sent
        closest to *ts_ms*: not before it, or else not after it.

        Walks along an index, past as many as *accept* does not admit.
        """
        # Before or after all events of that very time.
        at = Moment(ts_ms, -END_POS if forwards else END_POS)
        while True:
            moments = (
                await events_storage.moments_forwards(
                    self.db, room_nid, after=at, span=span, limit=_MOMENTS_PER_QUERY
                )
                if forwards
                else await events_storage.moments_backwards(
                    self.db, room_nid, before=at, span=span, limit=_MOMENTS_PER_QUERY
                )
            )
            for at in moments:
                if accept(at):
                    return await self.by_nid(at.event_nid)
            if len(moments) < _MOMENTS_PER_QUERY:
                return None

    def remember_on_commit(self, unit: JournalUnit, event: StoredEvent) -> None:
        """Keep *event* in memory from the moment it is durable."""
        unit.on_commit(lambda: self.keep(event))

    def keep(self, event: StoredEvent) -> None:
        """Keep *event*, which is durable, in memory."""
        self.cache.put(event.event_nid, event, event.size_bytes)

    def redact(self, nid: int, client_json: bytes, *, by_nid: int) -> None:
        """Have the event *nid*, if in memory, be what a redaction leaves of it."""
        self._redactions[nid] = (client_json, by_nid)
        if len(self._redactions) > _REDACTIONS_MAX:
            self._redactions.popitem(last=False)
        event = self.cache.get(nid)
        if event is not None:
            event.redact(client_json, by_nid=by_nid)

    def change(self, nid: int, client_json: bytes) -> None:
        """Have the event *nid*, if in memory and not redacted, be shown like this."""
        self._changes.count += 1
        event = self.cache.get(nid)
        if event is not None and event.redacted_by_nid is None:
            event.change(client_json)

    def _remember(self, event: StoredEvent, changes: int) -> StoredEvent:
        """One object an event: a redaction changes it for all who hold it.

        It began to be read after so many *changes*.
        """
        known = self.cache.get(event.event_nid)
        if known is not None:
            return known
        redaction = self._redactions.get(event.event_nid)
        if redaction is not None:
            event.redact(redaction[0], by_nid=redaction[1])
        if changes == self._changes.count:
            self.keep(event)
        return event
