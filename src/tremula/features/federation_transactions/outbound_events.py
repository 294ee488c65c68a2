"""Events that this server sends to others: those of its own users, as they come."""

import asyncio
from collections import deque

from tremula.infra.federation.destination import Entry
from tremula.infra.federation.queues import Queues
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import ServerName
from tremula.rooms.events import PersistedEvent
from tremula.rooms.head_servers import recipients
from tremula.rooms.room import EVENT_TOPIC


class OutboundEvents:
    """Follows the journal, and tells the queues for whom there is an event.

    That it is to be sent was stored with the event itself, by whoever wrote it: the
    queues find what is not told here. Each process tells its own.
    """

    def __init__(self, *, own: ServerName, journal: Journal, queues: Queues) -> None:
        self._own = own
        self._queues = queues
        # Those in rooms that are not in memory here, and all that follow them.
        self._noticed: deque[tuple[Entry, PersistedEvent]] = deque()
        self._something_noticed = asyncio.Event()
        journal.subscribe(EVENT_TOPIC, self._event_stored)
        journal.on_forget(queues.read_again)

    async def run(self) -> None:
        """Follow the journal for ever; meant for the supervisor."""
        while True:
            await self.tell_noticed()
            await self._something_noticed.wait()

    async def tell_noticed(self) -> None:
        """Tell what was noticed so far and not told at once."""
        self._something_noticed.clear()
        while self._noticed:
            entry, event = self._noticed[0]
            self._queues.send_event(entry, await self._recipients(entry, event))
            self._noticed.popleft()

    def _event_stored(self, pos: int, _key: object, event: object) -> None:
        assert isinstance(event, PersistedEvent)
        if event.recipients is not None and not event.recipients:
            return
        entry = Entry(pos, event.stored.event_nid)
        if event.recipients is not None and not self._noticed:
            self._queues.send_event(entry, event.recipients)
        else:
            self._noticed.append((entry, event))
            self._something_noticed.set()

    async def _recipients(
        self, entry: Entry, event: PersistedEvent
    ) -> frozenset[ServerName]:
        if event.recipients is not None:
            return event.recipients
        stored = event.stored
        present = await self._queues.servers_at(stored.room_nid, entry.pos)
        return recipients(present, stored, self._own)
