"""Sends events that can't just be put upon a room's head."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.protocol.errors import NotFound
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.policy_servers import is_exempt
from tremula.rooms.arrivals import ArrivalReader
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft
from tremula.rooms.graph import PREV_EVENTS_CITED_MAX
from tremula.rooms.judging import Judge
from tremula.rooms.policing import Policing, policy_server_of
from tremula.rooms.refusing import refusal
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import Room, check_replaces
from tremula.rooms.txns import SentTxns


class Sending(Struct, frozen=True):
    """Sends to rooms with a policy server, which has to be asked first, and to those
    with more extremities than one event may name.

    Events of one room wait for each other: the next names the last as previous event.
    """

    registry: RoomRegistry
    events: EventStore
    journal: Journal
    judge: Judge
    policing: Policing
    txns: SentTxns
    clock: Clock
    turns: KeyedLocks[RoomId]

    @staticmethod
    def is_needed(room: Room, drafts: Sequence[Draft]) -> bool:
        """Whether *drafts* can't be put upon the head of *room* at once."""
        if len(room.head.extremities) > PREV_EVENTS_CITED_MAX:
            return True
        return policy_server_of(room) is not None and not all(
            is_exempt(draft.type, draft.state_key) for draft in drafts
        )

    async def send(self, room_id: RoomId, draft: Draft) -> EventId:
        """Send *draft*; durable on return.

        It is judged as others will: by the state that those have which it names. What
        comes from others while the policy server is asked becomes a branch beside it.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the authorisation rules refuse the event.
            TooLarge: the event is past the size limits.
            BadJson: its content cannot be an event's.
            MatrixError: the policy server refuses it, or can't be asked.
        """
        async with self.turns.of(room_id):
            room = await self._get_room(room_id)
            sent = await self.txns.find(room.view.nid, draft)
            if sent is not None:
                return sent
            built: BuiltEvent | None = None
            while True:
                room = await self._get_room(room_id)
                await room.markers.prepare(room.view, [draft])
                async with room.lock:
                    await room.settled()
                    if not self.registry.holds(room):
                        continue
                    with room.kept():
                        built = built or await self._built(room, draft)
                        done = await self._enter(room, draft, built)
                if done is not None:
                    await done
                    return built.event.event_id
                built = await self.policing.signed(room, built)

    async def _get_room(self, room_id: RoomId) -> Room:
        room = await self.registry.find(room_id)
        if room is None:
            raise NotFound("Unknown room.")
        return room

    async def _built(self, room: Room, draft: Draft) -> BuiltEvent:
        head = await self.judge.narrowed_head(room)
        check_replaces(head, draft)
        return room.build(head, draft, self.clock.now_ms())

    async def _enter(
        self, room: Room, draft: Draft, built: BuiltEvent
    ) -> asyncio.Future[None] | None:
        """Put an event that is allowed on its way to the disk, unless its policy server
        has to be asked first.
        """
        judgement = await self.judge.judge(room, built.event, None)
        if judgement.violation is not None:
            raise refusal(judgement.violation, room.view.room_id, event_type=draft.type)
        if not self.policing.recommends(room, built):
            return None
        reader = ArrivalReader(self.events.db, self.events)
        arrival = await reader.read(room, built, judgement)
        unit = self.journal.unit()
        successor, item = arrival.stage(room, unit)
        item.stored.set_txn(draft.txn)
        room.commit(unit, successor, [item])
        self.events.remember_on_commit(unit, item.stored)
        if draft.txn is not None:
            self.txns.begin(unit, room.view.nid, draft, built.event.event_id)
        return room.submit(self.journal, unit, discard=self.registry.discard)
