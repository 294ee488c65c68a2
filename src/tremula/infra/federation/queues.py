"""The queues of events and EDUs for other servers, one a destination.

The cursor of each and the transaction under way are stored, so that a crash loses
nothing: what was begun is repeated under its ID, what follows is in the outbox.
"""

import asyncio
from collections.abc import Collection, Hashable, Iterable
from functools import partial
from typing import Final

from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.infra.federation import outbox_storage
from tremula.infra.federation import queues_storage as storage
from tremula.infra.federation.destination import Destination, Edu, Entry
from tremula.infra.federation.held import HeldDestinations
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.queues_storage import DestinationRow
from tremula.infra.federation.sending import Sender
from tremula.infra.slots import Slots, slot_of
from tremula.infra.turns import Phase, Turns
from tremula.protocol.identifiers import ServerName

# At once; a slow server holds up one of them for as long as a request may take.
_SENDERS_MAX: Final = 64
# Of which so many try servers that did not answer lately.
_RETRYING_SENDERS_MAX: Final = 32
_OUTBOX_KEPT_MS: Final = 14 * 24 * 3600 * 1000
_PRUNE_EVERY_MS: Final = 3600 * 1000


class Queues:
    """Sends to each destination one transaction at a time, as many as it takes.

    There is no task a destination: up to 64 senders take those for which something is
    to be done. Destinations with nothing to do take no memory. Of several processes,
    each sends to the destinations whose slots it holds.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        peers: Peers,
        sender: Sender,
        slots: Slots,
        metrics: QueueMetrics,
    ) -> None:
        self._database = database
        self._clock = clock
        self._peers = peers
        self._sender = sender
        self._metrics = metrics
        self._held = HeldDestinations(slots)
        self._turns: Turns[Destination] = Turns(
            clock,
            self._send,
            senders_max=_SENDERS_MAX,
            retrying_senders_max=_RETRYING_SENDERS_MAX,
        )
        self._destinations = self._turns.queues
        self._prune_at_ms = 0
        slots.on_taken(self._slots_taken)
        slots.on_gone(self._slots_gone)
        for phase in (Phase.READY, Phase.SENDING, Phase.PAUSING):
            metrics.watch(phase.name.lower(), partial(self._turns.count, phase))
        metrics.watch_waiting(self._destinations.values())

    # What is to be sent

    def send_event(self, entry: Entry, destinations: Iterable[ServerName]) -> None:
        """Send an event, which is in the outbox, to those of them that are held here.

        All processes are told of all events, in the order of their positions.
        """
        for name in destinations:
            if not self._is_ours(name) or self._held.covers(name, entry.pos):
                continue
            destination = self._destination(name)
            if self._held.is_read(name):
                destination.add(entry)
            else:
                destination.noticed_pos = entry.pos
            self._schedule(destination)

    async def servers_at(self, room_nid: int, pos: int) -> list[ServerName]:
        """The other servers that are in a room just after an event at *pos*."""
        return await outbox_storage.servers_at(self._database, room_nid, pos)

    def send_edu(
        self, destinations: Iterable[ServerName], key: Hashable, edu: Edu
    ) -> None:
        """Send an EDU; it takes the place of one with the same *key* that waits.

        Called in every process: it is sent by the one that holds the destination.
        Nothing vouches for its arrival: it is dropped when it expires, when there are
        too many, by a restart, and when the destination moves to another process.
        """
        for name in destinations:
            if self._is_ours(name):
                destination = self._destination(name)
                self._metrics.dropped_edus.inc(destination.add_edu(key, edu))
                self._schedule(destination)

    def durable_edu_stored(
        self, _pos: int, destination: object, _payload: object
    ) -> None:
        """Send what was stored for a destination; subscribes to `DurableEdus`."""
        assert isinstance(destination, str)
        name = ServerName(destination)
        if self._held.holds(name):
            found = self._destination(name)
            found.may_have_durable_edus = True
            self._schedule(found)

    def heard_from(self, server_name: ServerName) -> None:
        """A server is up, since it has made a request: try it again soon."""
        destination = self._destinations.get(server_name)
        if destination is None or not destination.failures:
            return
        retry_at_ms = destination.retry_at_ms
        destination.heard_from()
        is_sooner = destination.retry_at_ms < retry_at_ms
        if is_sooner and destination.phase is Phase.PAUSING:
            self._turns.pause(destination)

    def read_again(self) -> None:
        """Look for what is to be sent: something may have been announced unheard."""
        self._held.read_all()
        self._turns.something_to_do.set()

    # Sending it

    async def run(self) -> None:
        """Send for ever; meant for the supervisor."""
        self._turns.clear()
        self._held.read_all()
        async with asyncio.TaskGroup() as group:
            while True:
                self._turns.something_to_do.clear()
                if self._held.is_any_unread:
                    await self.take_up()
                await self.prune_at_times()
                self._turns.start_senders(group)
                await self._turns.until_something_to_do()

    async def send_due(self) -> None:
        """Send all that is due now, and wait for its end."""
        async with asyncio.TaskGroup() as group:
            self._turns.start_senders(group)

    async def load(self) -> None:
        """Take up what an earlier run has left over."""
        self._held.read_all()
        await self.take_up()

    async def take_up(self) -> None:
        """Take up what was left over for the destinations that have come here."""
        slots = self._held.begin_reading()
        # Nothing is sent that could still be preceded: then everything up to what
        # anybody has sent is there to be read.
        covered_pos = max(
            self._sender.position(), await storage.newest_sent_pos(self._database)
        )
        for row in await storage.unfinished(self._database):
            if slot_of(row.server_name) in slots and self._is_ours(row.server_name):
                self._take_over(row, covered_pos=covered_pos)
        self._held.end_reading(covered_pos=covered_pos)
        for destination in list(self._destinations.values()):
            if slot_of(destination.name) in slots:
                destination.catch_up_from(covered_pos)
                self._schedule(destination)

    def _take_over(self, row: DestinationRow, *, covered_pos: int) -> None:
        destination = self._destination(row.server_name)
        if destination.sent_pos is None and destination.transaction is None:
            destination.sent_pos = row.sent_pos
            destination.transaction = row.transaction
            destination.failures = destination.stored_failures = row.failures
            destination.retry_at_ms = row.retry_at_ms
            destination.is_catching_up = row.failures > 0
        destination.may_have_durable_edus = True
        destination.noticed_pos = max(destination.noticed_pos, covered_pos)
        destination.fall_behind()

    def _slots_taken(self, slots: Collection[int]) -> None:
        self._held.taken(slots)
        self._turns.something_to_do.set()

    def _slots_gone(self, slots: Collection[int]) -> None:
        self._held.gone(slots)
        # Their new holders go on; after what is being sent, nothing follows here.
        self._turns.drop_slots(slots)

    def _is_ours(self, name: ServerName) -> bool:
        return self._held.holds(name) and self._peers.permits(name)

    def _destination(self, name: ServerName) -> Destination:
        destination = self._destinations.get(name)
        if destination is None:
            destination = self._destinations[name] = Destination(name)
        return destination

    def _schedule(self, destination: Destination) -> None:
        """Let it be sent to, now or when its pause is over."""
        if destination.phase is not Phase.IDLE or not self._held.is_read(
            destination.name
        ):
            return
        if destination.has_work:
            if destination.failures:
                self._turns.pause(destination)
            else:
                self._turns.make_ready(destination)
        elif not destination.failures:
            del self._destinations[destination.name]

    async def _send(self, destination: Destination) -> None:
        await self._sender.send(destination)
        destination.phase = Phase.IDLE
        if self._turns.is_current(destination):
            self._schedule(destination)

    async def prune_at_times(self) -> None:
        """Forget what is old; all processes do, to no harm."""
        now_ms = self._clock.now_ms()
        if now_ms >= self._prune_at_ms:
            self._prune_at_ms = now_ms + _PRUNE_EVERY_MS
            unit = Statements()
            outbox_storage.delete_old_entries(unit, before_ms=now_ms - _OUTBOX_KEPT_MS)
            await self._database.commit(unit)
