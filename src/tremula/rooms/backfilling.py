"""Fills gaps in a room's history with what other servers have (SS "Backfilling and
retrieving missing events").
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import structlog
from msgspec import Struct, field

from tremula.infra.clock import Clock
from tremula.infra.db import Conflict
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, ServerName, server_of
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_state import HISTORY_VISIBILITY
from tremula.rooms import graph_storage
from tremula.rooms.backfilled_histories import UNKNOWN_EARLIER, Earlier
from tremula.rooms.backfilled_pages import FetchedPage, PageStorage
from tremula.rooms.event_store import EventStore
from tremula.rooms.graph import Node
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.peers import PeerFailed, Peers, RoomAt
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.topology import connected_among, ordered
from tremula.rooms.view import RoomView
from tremula.rooms.whole_events import nodes_of

PAGE_EVENTS: Final = 100
"""How many events are asked for at once."""

_SERVERS_MAX: Final = 4
_FILL_S: Final = 30.0
# After nobody could help, how long nobody is asked again.
_REST_S: Final = 60.0
_RESTING_MAX: Final = 10_000

_SINGLY_MAX: Final = 20
"""Up to how many unknown events are asked for one by one."""

_AUTH_ROUNDS_MAX: Final = 4

log = structlog.get_logger(__name__)


class FillGap(Struct, frozen=True, tag=True):
    """The command that travels to the owner of a room's slot."""

    gap: HistoryGap


class Backfilling(Struct, frozen=True):
    """Asks one server after another for the events before a gap."""

    registry: RoomRegistry
    events: EventStore
    journal: Journal
    peers: Peers | None
    clock: Clock
    queues: KeyedLocks[str]
    _filling: KeyedLocks[RoomId] = field(default_factory=KeyedLocks[RoomId])
    _rests_until_s: dict[RoomId, float] = field(default_factory=dict[RoomId, float])

    async def fill(self, room_id: RoomId, command: FillGap) -> bool:
        """Store some of the events that are missing; whether the gap is another now.

        It may be so although there is nothing to be shown: where events were rejected,
        what came before them is missing next.
        """
        async with self._filling.of(room_id):
            room = await self.registry.find(room_id)
            if room is None or not await self._is_open(room.view, command.gap):
                return True
            if self._rests_until_s.get(room_id, 0.0) > self.clock.monotonic_s():
                return False
            try:
                async with asyncio.timeout(_FILL_S):
                    if await self._fill(room.view, command.gap):
                        return True
            except TimeoutError:
                log.info("backfill_timed_out", room_id=room_id)
            self._rest(room_id)
            return False

    async def _is_open(self, view: RoomView, gap: HistoryGap) -> bool:
        missing = await graph_storage.missing_among(
            self.events.db, view.nid, gap.event_ids
        )
        return missing == set(gap.event_ids)

    def _rest(self, room_id: RoomId) -> None:
        if len(self._rests_until_s) >= _RESTING_MAX:
            self._rests_until_s.clear()
        self._rests_until_s[room_id] = self.clock.monotonic_s() + _REST_S

    async def _fill(self, view: RoomView, gap: HistoryGap) -> bool:
        if self.peers is None:
            return False
        for server_name in await self._servers(view, gap):
            asking = _Asking(self.events, self.peers, view, server_name)
            try:
                page = await asking.page(gap)
            except PeerFailed as error:
                log.info("backfill_failed", server_name=server_name, reason=str(error))
                continue
            if page is None:
                continue
            async with self.queues.of(view.room_id):
                # It may have been dropped while others were asked.
                room = await self.registry.find(view.room_id)
                if room is None:
                    return False
                storage = PageStorage(self.events, self.journal, self.registry.own.name)
                try:
                    with room.kept():
                        return await storage.store(room, gap, page)
                except Conflict:
                    # Some of it came by another way at this moment.
                    return True
        return False

    async def _servers(self, view: RoomView, gap: HistoryGap) -> list[ServerName]:
        """Whom to ask: first the server of the oldest event that is here, since it was
        in the room then, after it those with the most users.
        """
        counts = view.joined_servers
        [oldest] = await self.events.backwards(view.nid, before=gap.pos + 1, limit=1)
        first = server_of(oldest.sender)
        others = sorted(counts.keys() - {first}, key=lambda name: (-counts[name], name))
        servers = [first, *others] if first in counts else others
        own = self.registry.own.name
        return [name for name in servers if name != own][:_SERVERS_MAX]


class _Asking(Struct, frozen=True):
    """What one server is asked for on account of one gap."""

    events: EventStore
    peers: Peers
    view: RoomView
    server_name: ServerName

    @property
    def _at(self) -> RoomAt:
        return RoomAt(self.view.room_id, self.view.version)

    async def page(self, gap: HistoryGap) -> FetchedPage | None:
        """Events before the gap with all that it takes to store them; None if the
        server has none.

        Raises:
            PeerFailed: the server does not help.
        """
        answer = await self.peers.backfill(
            self.server_name, self._at, latest=gap.event_ids, limit=PAGE_EVENTS
        )
        reached = connected_among(gap.event_ids, answer, _event_of)
        if not reached:
            return None
        # It comes the newest first.
        events = ordered(reached[::-1], _event_of, lambda event: event.prev_events)
        others = await self._auth_events(events)
        earlier = UNKNOWN_EARLIER
        changes = [e.event for e in events if _is_visibility(e.event)]
        if changes:
            earlier = await self._visibility_before(changes[0], events, others)
        return FetchedPage(events, others, earlier)

    async def _auth_events(
        self, events: Sequence[ReceivedEvent]
    ) -> dict[EventId, ReceivedEvent]:
        """Auth events of *events*, and theirs, that are not here."""
        here = {each.event.event_id for each in events}
        found: dict[EventId, ReceivedEvent] = {}
        level: Collection[ReceivedEvent] = events
        for _ in range(_AUTH_ROUNDS_MAX):
            cited = {each for received in level for each in received.event.auth_events}
            nodes = await nodes_of(self.events.db, self.view.nid, cited)
            unknown = cited - nodes.keys() - here - found.keys()
            if not unknown:
                break
            if len(unknown) > _SINGLY_MAX:
                chain = await self.peers.event_auth(
                    self.server_name, self._at, events[-1].event.event_id
                )
                level = [each for each in chain if each.event.event_id in unknown]
            else:
                level = await self._singly(unknown)
            found |= {each.event.event_id: each for each in level}
        return found

    async def _singly(self, event_ids: Collection[EventId]) -> list[ReceivedEvent]:
        answers = [
            await self.peers.event(self.server_name, self._at, each)
            for each in sorted(event_ids)
        ]
        return [each for each in answers if each is not None]

    async def _visibility_before(
        self,
        change: Event,
        events: Sequence[ReceivedEvent],
        others: dict[EventId, ReceivedEvent],
    ) -> Earlier:
        """The event that set the history visibility before *change* did.

        What had to be asked for is added to *others*.
        """
        try:
            told = await self.peers.state_ids(
                self.server_name, self._at, change.event_id
            )
            nodes = await nodes_of(self.events.db, self.view.nid, told.state)
            known = {node.event_id for node in nodes.values() if _is_visibility(node)}
            unknown = set(told.state) - nodes.keys() - others.keys()
            unknown -= {each.event.event_id for each in events}
            if len(unknown) > _SINGLY_MAX and not known:
                return UNKNOWN_EARLIER
            if not known:
                fetched = await self._singly(unknown)
                others |= {each.event.event_id: each for each in fetched}
                others |= await self._auth_events(fetched)
                known = {
                    each.event.event_id
                    for each in (*others.values(), *events)
                    if _is_visibility(each.event) and each.event.event_id in told.state
                }
        except PeerFailed:
            return UNKNOWN_EARLIER
        return Earlier(is_known=len(known) <= 1, event_id=next(iter(known), None))


def _event_of(received: ReceivedEvent) -> Event:
    return received.event


def _is_visibility(event: Event | Node) -> bool:
    return (event.type, event.state_key) == HISTORY_VISIBILITY
