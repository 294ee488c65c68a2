"""Events that this server sends to others: those of its own users, as they come."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from tremula.infra.federation.destination import Entry
from tremula.infra.federation.queues import OutboundEvent, Queues, ServerChange
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import EventId, RoomId, ServerName, server_of
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import NO_SERVER_CHANGES, PersistedEvent, StoredEvent
from tremula.rooms.partial import COMPLETED_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

# A restart looks at no more events again than these.
_UNRECORDED_MAX: Final = 1_000
_AT_ONCE: Final = 200


class _Noticed(Struct, frozen=True):
    """An event that is to be sent, or that changes which servers are in a room."""

    pos: int
    event: PersistedEvent
    is_to_be_sent: bool

    @property
    def remote_member(self) -> ServerName | None:
        """The server of the user whose membership the event is."""
        stored = self.event.stored
        return server_of(stored.state_key or "") if stored.type == MEMBER else None


class OutboundEvents:
    """Follows the journal, and hands to the queues what others are to be sent.

    What is noticed is recorded soon after its commit. How far that has come is stored
    as well, and a restart goes on from there: nothing is left out.

    An event in a room without other servers costs two comparisons and no query.
    """

    def __init__(
        self,
        *,
        own: ServerName,
        journal: Journal,
        reader: RoomReader,
        events: EventStore,
        queues: Queues,
    ) -> None:
        self._own = own
        self._journal = journal
        self._reader = reader
        self._events = events
        self._queues = queues
        # What is stored already is looked for; what comes from now on is announced.
        self._begun_pos = self._seen_pos = journal.position
        self._is_begun = False
        self._noticed: list[_Noticed] = []
        # Those of them by which servers have come or gone.
        self._changed: list[_Noticed] = []
        self._unrecorded = 0
        self._relayed: set[EventId] = set()
        self._something_noticed = asyncio.Event()
        journal.subscribe(EVENT_TOPIC, self._event_stored)
        journal.subscribe(COMPLETED_TOPIC, self._state_completed)

    @contextmanager
    def relaying(self, event_id: EventId) -> Iterator[None]:
        """Send an event of another server's user to the others, if it comes meanwhile.

        What comes by a handshake (SS "Joining Rooms" and the like) only this server
        has. After a crash at that moment the others find it as a previous event.
        """
        self._relayed.add(event_id)
        try:
            yield
        finally:
            self._relayed.discard(event_id)

    async def run(self) -> None:
        """Follow the journal for ever; meant for the supervisor."""
        while True:
            await self.record_noticed()
            await self._something_noticed.wait()

    async def record_noticed(self) -> None:
        """Hand over what was noticed so far."""
        if not self._is_begun:
            await self._record_what_came_before()
            self._is_begun = True
        self._something_noticed.clear()
        while self._noticed or self._unrecorded >= _UNRECORDED_MAX:
            part = self._noticed[:_AT_ONCE]
            is_all = len(part) == len(self._noticed)
            self._unrecorded = 0
            pos = self._seen_pos if is_all else part[-1].pos
            await self._record(part, pos)
            del self._noticed[: len(part)]
            self._changed = [each for each in self._changed if each.pos > pos]

    def _event_stored(self, pos: int, _key: object, event: object) -> None:
        assert isinstance(event, PersistedEvent)
        self._seen_pos = pos
        is_to_be_sent = self._is_to_be_sent(event.stored)
        if not event.changes_other_state and (
            not (is_to_be_sent or event.stored.type == MEMBER)
            or self._concerns_nobody_else(event)
        ):
            self._unrecorded += 1
            if self._unrecorded >= _UNRECORDED_MAX:
                self._something_noticed.set()
            return
        noticed = _Noticed(pos, event, is_to_be_sent)
        self._noticed.append(noticed)
        if event.server_changes is not NO_SERVER_CHANGES:
            self._changed.append(noticed)
        self._something_noticed.set()

    def _state_completed(self, pos: int, _key: object, event: object) -> None:
        """Who is in a room was hearsay until now; *event* is our join."""
        assert isinstance(event, PersistedEvent)
        self._seen_pos = pos
        self._noticed.append(_Noticed(pos, event, is_to_be_sent=False))
        self._something_noticed.set()

    def _is_to_be_sent(self, stored: StoredEvent) -> bool:
        if stored.event_id in self._relayed:
            return True
        # One of our own that another server has sent us need not be sent to others.
        return server_of(stored.sender) == self._own and stored.arrived_pos is None

    def _concerns_nobody_else(self, event: PersistedEvent) -> bool:
        if event.has_other_servers:
            return False
        stored = event.stored
        return stored.type != MEMBER or server_of(stored.state_key or "") == self._own

    async def _record_what_came_before(self) -> None:
        pos = await self._queues.followed_pos()
        if pos is None:
            await self._queues.record([], followed_pos=self._begun_pos)
            return
        present = _Present(self._queues)
        while found := await self._events.accepted_after(
            pos, up_to=self._begun_pos, limit=_AT_ONCE
        ):
            room_ids = await self._reader.room_ids({each.room_nid for each in found})
            newest = {each.room_nid: each.event_nid for each in found}
            pos = found[-1].event_nid
            await self._record(
                [
                    self._found(each, room_ids[each.room_nid], newest[each.room_nid])
                    for each in found
                ],
                pos,
                present,
            )

    def _found(self, stored: StoredEvent, room_id: RoomId, newest: int) -> _Noticed:
        # How it changed the state is not known: it is looked at once a room.
        is_newest = stored.event_nid == newest
        event = PersistedEvent(room_id, stored, changes_other_state=is_newest)
        return _Noticed(stored.event_nid, event, self._is_to_be_sent(stored))

    async def _record(
        self,
        noticed: Sequence[_Noticed],
        followed_pos: int,
        present: "_Present | None" = None,
    ) -> None:
        events: list[OutboundEvent] = []
        changes: list[ServerChange] = []
        for each in noticed:
            view = await self._reader.find_room(each.event.room_id)
            if view is None:
                continue
            servers = self._servers_after(view, each)
            changed = await self._changes(view, each, servers)
            changes += changed
            if present is not None:
                servers = await present.after(view.nid, changed)
            destinations = self._destinations(servers, each)
            if destinations:
                entry = Entry(each.pos, each.event.stored.event_nid)
                events.append(OutboundEvent(entry, view.nid, destinations))
        await self._queues.record(events, changes, followed_pos=followed_pos)

    def _servers_after(self, view: RoomView, noticed: _Noticed) -> set[ServerName]:
        """Who was there just after an event: *view* may be of later."""
        servers = set(view.joined_servers)
        for later in reversed(self._changed):
            if later.pos <= noticed.pos:
                break
            if later.event.stored.room_nid == view.nid:
                servers -= later.event.server_changes.come
                servers |= later.event.server_changes.gone
        return servers

    async def _changes(
        self, view: RoomView, noticed: _Noticed, servers: set[ServerName]
    ) -> list[ServerChange]:
        """Which servers have come or gone by an event. Others stay as they were."""
        server_name = noticed.remote_member
        changed = {server_name} if server_name else set()
        if noticed.event.changes_other_state or self._own in (
            noticed.event.server_changes.come
        ):
            changed = await self._queues.servers_in(view.nid) ^ servers
        return [
            ServerChange(view.nid, name, noticed.pos, is_joined=name in servers)
            for name in changed - {self._own}
            if name
        ]

    def _destinations(
        self, servers: set[ServerName], noticed: _Noticed
    ) -> set[ServerName]:
        if not noticed.is_to_be_sent:
            return set()
        stored = noticed.event.stored
        removed = noticed.remote_member
        if removed and stored.content.get("membership") in {"leave", "ban"}:
            # Its server is to know, be it in the room any more or not.
            servers = {*servers, removed}
        return servers - {self._own, server_of(stored.sender)}


class _Present:
    """The servers in rooms as events of an earlier run come, which are known no other
    way: what was recorded of them, changed as the events are gone through.
    """

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._by_room: dict[int, set[ServerName]] = {}

    async def after(
        self, room_nid: int, changes: Sequence[ServerChange]
    ) -> set[ServerName]:
        """Who is in the room after an event that *changes* this."""
        present = self._by_room.get(room_nid)
        if present is None:
            present = self._by_room[room_nid] = await self._queues.servers_in(room_nid)
        for change in changes:
            if change.is_joined:
                present.add(change.server_name)
            else:
                present.discard(change.server_name)
        return present
