"""Events that this server sends to others: those of its own users, as they come."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tremula.infra.federation.destination import Entry
from tremula.infra.federation.queues import OutboundEvent, Queues, ServerChange
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import EventId, RoomId, ServerName, server_of
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import PersistedEvent, StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

# A restart looks at no more events again than these.
_UNRECORDED_MAX: Final = 1_000
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class _Noticed:
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
        self._unrecorded = 0
        self._relayed: set[EventId] = set()
        self._something_noticed = asyncio.Event()
        journal.subscribe(EVENT_TOPIC, self._event_stored)

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
            await self._record(part, self._seen_pos if is_all else part[-1].pos)
            del self._noticed[: len(part)]

    def _event_stored(self, pos: int, _key: object, event: object) -> None:
        assert isinstance(event, PersistedEvent)
        self._seen_pos = pos
        view = self._reader.find_loaded(event.room_id)
        is_to_be_sent = self._is_to_be_sent(event.stored)
        if not event.changes_other_state and (
            not (is_to_be_sent or event.stored.type == MEMBER)
            or (view is not None and self._concerns_nobody_else(view, event.stored))
        ):
            self._unrecorded += 1
            if self._unrecorded >= _UNRECORDED_MAX:
                self._something_noticed.set()
            return
        self._noticed.append(_Noticed(pos, event, is_to_be_sent))
        self._something_noticed.set()

    def _is_to_be_sent(self, stored: StoredEvent) -> bool:
        if stored.event_id in self._relayed:
            return True
        # One of our own that another server has sent us need not be sent to others.
        return server_of(stored.sender) == self._own and stored.arrived_pos is None

    def _concerns_nobody_else(self, view: RoomView, stored: StoredEvent) -> bool:
        servers = view.joined_servers
        if len(servers) > 1 or (servers and self._own not in servers):
            return False
        return stored.type != MEMBER or server_of(stored.state_key or "") == self._own

    async def _record_what_came_before(self) -> None:
        pos = await self._queues.followed_pos()
        if pos is None:
            await self._queues.record([], followed_pos=self._begun_pos)
            return
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
            )

    def _found(self, stored: StoredEvent, room_id: RoomId, newest: int) -> _Noticed:
        # How it changed the state is not known: it is looked at once a room.
        is_newest = stored.event_nid == newest
        event = PersistedEvent(room_id, stored, changes_other_state=is_newest)
        return _Noticed(stored.event_nid, event, self._is_to_be_sent(stored))

    async def _record(self, noticed: Sequence[_Noticed], followed_pos: int) -> None:
        events: list[OutboundEvent] = []
        changes: list[ServerChange] = []
        for each in noticed:
            view = await self._reader.find_room(each.event.room_id)
            if view is None:
                continue
            changes += await self._changes(view, each)
            destinations = self._destinations(view, each)
            if destinations:
                entry = Entry(each.pos, each.event.stored.event_nid)
                events.append(OutboundEvent(entry, view.nid, destinations))
        await self._queues.record(events, changes, followed_pos=followed_pos)

    async def _changes(
        self, view: RoomView, noticed: _Noticed
    ) -> Iterable[ServerChange]:
        """Which servers have come or gone by an event. Others stay as they were."""
        servers, server_name = view.joined_servers, noticed.remote_member
        has_come_in_ourselves = server_name == self._own and servers.get(self._own) == 1
        if noticed.event.changes_other_state or has_come_in_ourselves:
            known = await self._queues.servers_in(view.nid)
            changed = known ^ (servers.keys() - {self._own})
        else:
            changed = {server_name} if server_name else set()
            changed -= {self._own}
        return [
            ServerChange(view.nid, name, noticed.pos, is_joined=name in servers)
            for name in changed
            if name
        ]

    def _destinations(self, view: RoomView, noticed: _Noticed) -> set[ServerName]:
        if not noticed.is_to_be_sent:
            return set()
        stored = noticed.event.stored
        destinations = set(view.joined_servers)
        if noticed.remote_member and stored.content.get("membership") in {
            "leave",
            "ban",
        }:
            # Its server is to know, be it in the room any more or not.
            destinations.add(noticed.remote_member)
        return destinations - {self._own, server_of(stored.sender)}
