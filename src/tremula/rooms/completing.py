"""Completes the states of rooms that were joined without their members."""

from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.json import loads_exact
from tremula.protocol.received_events import receive_pdu
from tremula.rooms import partial_storage
from tremula.rooms.base_state import BaseStates
from tremula.rooms.events import PersistedEvent
from tremula.rooms.gaps import Gaps
from tremula.rooms.head_servers import HeadServers
from tremula.rooms.partial import COMPLETED_TOPIC, PartialState
from tremula.rooms.partial_storage import DeferredEvent
from tremula.rooms.receiving import ReceiveEvents, Receiving
from tremula.rooms.rechecking import Rechecking
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import Room
from tremula.rooms.staging import announce_reread
from tremula.rooms.whole_events import whole_events

log = structlog.get_logger(__name__)

_Step = Callable[[Room], Awaitable[JournalUnit]]


class CompleteState(Struct, frozen=True, tag=True):
    """The command that travels to the owner of a room's slot: ask *server*."""

    server: ServerName


class Completing(Struct, frozen=True):
    """Gets the whole state, puts it below what has come since, and judges that again.

    Each step may be repeated, so that a crash costs no more than asking once more.
    """

    registry: RoomRegistry
    journal: Journal
    gaps: Gaps
    bases: BaseStates
    rechecking: Rechecking
    receiving: Receiving
    queues: KeyedLocks[str]

    async def complete(self, room_id: RoomId, command: CompleteState) -> bool:
        """Complete the state of a room with the help of a server; whether it is now.
        Durable on return.

        Raises:
            PeerFailed: that server does not help.
        """
        room = await self.registry.find(room_id)
        if room is None:
            return False
        if room.view.partial is not None:
            await self._complete(room, room.view.partial, command.server)
        if room.view.partial is not None:
            return False
        await self._receive_deferred(room)
        self.registry.completions.done(room.view.nid)
        return True

    async def _complete(
        self, room: Room, partial: PartialState, server: ServerName
    ) -> None:
        room_id = room.view.room_id
        [join] = await whole_events(self._db, [partial.join_nid])
        told = await self.gaps.told_state(room, join.event.event_id, server)
        async with self.queues.of(room_id):
            known = await self.registry.find(room_id)
            if known is None or known.view.partial != partial:
                # All have left meanwhile, and come again.
                return
            state = await self.gaps.store_state(known, told)
            await self._alone(room_id, lambda r: self.bases.fill(r, partial, state))
            await self._alone(room_id, lambda r: self._finish(r, partial))

    @property
    def _db(self) -> Reader:
        return self.registry.db

    async def _alone(self, room_id: RoomId, step: _Step) -> None:
        """Do a step while nobody else writes to the room."""
        while True:
            room = await self.registry.find(room_id)
            assert room is not None, "its join is stored"
            async with room.lock:
                await room.settled()
                if not self.registry.holds(room):
                    continue
                with room.kept():
                    unit = await step(room)
                    await self.journal.commit(unit)
                return

    async def _finish(self, room: Room, partial: PartialState) -> JournalUnit:
        corrections = await self.rechecking.corrections(room, partial)
        join = await self.receiving.events.by_nid(partial.join_nid)
        unit = self.journal.unit()
        head, nids = room.head, list[int]()
        if corrections is not None:
            head = corrections.write(unit, room, partial)
            nids = [each.nid for each in corrections.events]
            log.warning("state_corrected", room_id=room.view.room_id, event_nids=nids)
            unit.on_commit(lambda: self.receiving.events.forget(nids))
        announce_reread(unit, room.view, nids)
        pos = unit.pos()
        partial_storage.update_completed(unit, room.view.nid, pos=pos)
        changes = HeadServers.of(head.state).since(room.servers)
        room.record_servers(unit, changes, pos=pos)
        unit.on_commit(lambda: room.become_complete(head, pos=pos))
        completed = PersistedEvent(room.view.room_id, join, changes_other_state=True)
        unit.announce(COMPLETED_TOPIC, room.view.nid, completed, pos=pos)
        room.writer.announce_members(unit, room.view, pos=pos)
        unit.wake_rooms(room.view.joined_members(), (room.view.nid,))
        return unit

    async def _receive_deferred(self, room: Room) -> None:
        """Take in what could not be judged before, also what a crash left behind."""
        deferred = await partial_storage.deferred_events(self._db, room.view.nid)
        by_origin: dict[ServerName, list[DeferredEvent]] = {}
        for each in deferred:
            by_origin.setdefault(each.origin, []).append(each)
        for origin, events in by_origin.items():
            received = tuple(
                receive_pdu(room.version, loads_exact(each.pdu)) for each in events
            )
            command = ReceiveEvents(received, origin)
            await self.receiving.receive(room.view.room_id, command)
            unit = self.journal.unit()
            partial_storage.delete_deferred(unit, room.view.nid, events)
            await self.journal.commit(unit)
