"""The queues of events and EDUs for other servers, one a destination.

The cursor of each and the transaction under way are stored, so that a crash loses
nothing: what was begun is repeated under its ID, what follows is in the outbox.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Collection, Hashable, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.infra.federation import queues_storage as storage
from tremula.infra.federation.destination import Destination, Edu, Entry, Phase
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.sending import Sender
from tremula.protocol.identifiers import ServerName

# At once; a slow server holds up one of them for as long as a request may take.
_SENDERS_MAX: Final = 64
# Of which so many try servers that did not answer lately.
_RETRYING_SENDERS_MAX: Final = 32
_OUTBOX_KEPT_MS: Final = 14 * 24 * 3600 * 1000
_PRUNE_EVERY_MS: Final = 3600 * 1000


class OutboundEvent(Struct, frozen=True):
    """An event for all other servers in a room, who they are now among them."""

    entry: Entry
    room_nid: int
    destinations: Collection[ServerName]


class ServerChange(Struct, frozen=True):
    """A server has come into a room, or has left it, at a journal position."""

    room_nid: int
    server_name: ServerName
    pos: int
    is_joined: bool


class Queues:
    """Sends to each destination one transaction at a time, as many as it takes.

    There is no task a destination: up to 64 senders take those for which something is
    to be done. Destinations with nothing to do take no memory.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        peers: Peers,
        sender: Sender,
        metrics: QueueMetrics,
    ) -> None:
        self._database = database
        self._clock = clock
        self._peers = peers
        self._sender = sender
        self._metrics = metrics
        self._destinations: dict[ServerName, Destination] = {}
        self._ready: deque[Destination] = deque()
        # Those that failed last time wait apart: they must not hold up the others.
        self._retrying: deque[Destination] = deque()
        self._pauses: list[tuple[int, ServerName]] = []
        self._senders = 0
        self._retrying_senders = 0
        self._something_to_do = asyncio.Event()
        self._prune_at_ms = 0
        for phase in (Phase.READY, Phase.SENDING, Phase.PAUSING):
            metrics.watch(phase.name.lower(), partial(self._count, phase))

    # What is to be sent

    async def record(
        self,
        events: Sequence[OutboundEvent],
        changes: Sequence[ServerChange] = (),
        *,
        followed_pos: int,
    ) -> None:
        """Store what is to be sent, then send it. Durable on return.

        Safe to repeat. *followed_pos*: everything up to there has been recorded.
        """
        unit = Statements()
        now_ms = self._clock.now_ms()
        for event in events:
            storage.insert_entry(
                unit, event.entry, room_nid=event.room_nid, ts_ms=now_ms
            )
        for change in changes:
            if change.is_joined:
                storage.upsert_server(
                    unit, change.room_nid, change.server_name, joined_pos=change.pos
                )
            else:
                storage.update_server_left(
                    unit, change.room_nid, change.server_name, left_pos=change.pos
                )
        storage.upsert_followed_pos(unit, followed_pos)
        self._prune(unit, now_ms)
        await self._database.commit(unit)
        for event in events:
            for name in event.destinations:
                if self._peers.permits(name):
                    destination = self._destination(name)
                    destination.add(event.entry)
                    self._schedule(destination)

    async def followed_pos(self) -> int | None:
        """Up to where everything that is to be sent has been recorded."""
        return await storage.find_followed_pos(self._database)

    async def servers_in(self, room_nid: int) -> set[ServerName]:
        """The servers that were recorded to be in a room."""
        return await storage.servers_in(self._database, room_nid)

    def send_edu(
        self, destinations: Collection[ServerName], key: Hashable, edu: Edu
    ) -> None:
        """Send an EDU; it takes the place of one with the same *key* that waits.

        Nothing vouches for its arrival: it is dropped when it expires, when there are
        too many, and by a restart.
        """
        for name in destinations:
            if self._peers.permits(name):
                destination = self._destination(name)
                self._metrics.dropped_edus.inc(destination.add_edu(key, edu))
                self._schedule(destination)

    def durable_edu_stored(
        self, _pos: int, destination: object, _payload: object
    ) -> None:
        """Send what was stored for a destination; subscribes to `DurableEdus`."""
        assert isinstance(destination, str)
        found = self._destination(ServerName(destination))
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
            self._pause(destination)

    # Sending it

    async def run(self) -> None:
        """Send for ever; meant for the supervisor."""
        await self.load()
        async with asyncio.TaskGroup() as group:
            while True:
                self._something_to_do.clear()
                self._start_senders(group)
                await self._until_something_to_do()

    async def send_due(self) -> None:
        """Send all that is due now, and wait for its end."""
        async with asyncio.TaskGroup() as group:
            self._start_senders(group)

    async def load(self) -> None:
        """Take up what an earlier run has left over."""
        for row in await storage.unfinished(self._database):
            if not self._peers.permits(row.server_name):
                continue
            destination = self._destination(row.server_name)
            destination.sent_pos = row.sent_pos
            destination.transaction = row.transaction
            destination.failures = destination.stored_failures = row.failures
            destination.retry_at_ms = row.retry_at_ms
            destination.is_catching_up = row.failures > 0
            destination.may_have_durable_edus = True
            destination.fall_behind()
        self._ready.clear()
        self._retrying.clear()
        self._pauses.clear()
        for destination in list(self._destinations.values()):
            destination.phase = Phase.IDLE
            self._schedule(destination)

    def _destination(self, name: ServerName) -> Destination:
        destination = self._destinations.get(name)
        if destination is None:
            destination = self._destinations[name] = Destination(name)
        return destination

    def _count(self, phase: Phase) -> int:
        return sum(each.phase is phase for each in self._destinations.values())

    def _schedule(self, destination: Destination) -> None:
        """Let it be sent to, now or when its pause is over."""
        if destination.phase is not Phase.IDLE:
            return
        if destination.has_work:
            if destination.failures:
                self._pause(destination)
            else:
                self._make_ready(destination)
        elif not destination.failures:
            del self._destinations[destination.name]

    def _pause(self, destination: Destination) -> None:
        destination.phase = Phase.PAUSING
        heapq.heappush(self._pauses, (destination.retry_at_ms, destination.name))
        self._something_to_do.set()

    def _make_ready(self, destination: Destination) -> None:
        destination.phase = Phase.READY
        (self._retrying if destination.failures else self._ready).append(destination)
        self._something_to_do.set()

    def _end_pauses(self) -> None:
        now_ms = self._clock.now_ms()
        while self._pauses and self._pauses[0][0] <= now_ms:
            at_ms, name = heapq.heappop(self._pauses)
            destination = self._destinations.get(name)
            # Of the pauses that were shortened, the longer one is still in the heap.
            if (
                destination is not None
                and destination.phase is Phase.PAUSING
                and destination.retry_at_ms == at_ms
            ):
                self._make_ready(destination)

    async def _until_something_to_do(self) -> None:
        timeout_s = None
        if self._pauses:
            timeout_s = max(0, self._pauses[0][0] - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await self._something_to_do.wait()
        except TimeoutError:
            return

    def _start_senders(self, group: asyncio.TaskGroup) -> None:
        self._end_pauses()
        wanted = len(self._ready) + len(self._retrying)
        for _ in range(min(wanted, _SENDERS_MAX - self._senders)):
            self._senders += 1
            group.create_task(self._send_until_none_is_ready())

    async def _send_until_none_is_ready(self) -> None:
        try:
            while (destination := self._next_ready()) is not None:
                is_retry = destination.failures > 0
                self._retrying_senders += is_retry
                try:
                    await self._send(destination)
                finally:
                    self._retrying_senders -= is_retry
        finally:
            self._senders -= 1

    def _next_ready(self) -> Destination | None:
        self._end_pauses()
        if self._ready:
            return self._ready.popleft()
        if self._retrying and self._retrying_senders < _RETRYING_SENDERS_MAX:
            return self._retrying.popleft()
        return None

    async def _send(self, destination: Destination) -> None:
        destination.phase = Phase.SENDING
        await self._sender.send(destination)
        destination.phase = Phase.IDLE
        self._schedule(destination)

    def _prune(self, unit: Statements, now_ms: int) -> None:
        if now_ms >= self._prune_at_ms:
            self._prune_at_ms = now_ms + _PRUNE_EVERY_MS
            storage.delete_old_entries(unit, before_ms=now_ms - _OUTBOX_KEPT_MS)
