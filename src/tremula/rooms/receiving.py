"""Takes events of other servers into rooms, one room's in their order."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.errors import AuthRuleViolation, MatrixError, NotFound
from tremula.protocol.events import Event, pdu_json
from tremula.protocol.hashes import encode_event_json
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_state import StateKey
from tremula.rooms import graph_storage, partial_storage
from tremula.rooms.arrivals import ArrivalReader
from tremula.rooms.branches import StateAt
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.gaps import Gaps
from tremula.rooms.graph import Standing
from tremula.rooms.judging import (
    Judge,
    MissingAuthEvents,
    MissingEvents,
    MissingPrevEvents,
    Unacceptable,
    signed_when_received,
    unknown_members,
)
from tremula.rooms.partial_storage import DeferredEvent
from tremula.rooms.peers import PeerFailed
from tremula.rooms.policing import Policing
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import REDACTION, Head, Room
from tremula.rooms.staging import Staged
from tremula.rooms.topology import all_named, ordered
from tremula.rooms.whole_events import nodes_of, portions

DEFERRED_MAX: Final = 1000
"""How many events of a room may wait until all of its state is known."""

_REQUESTS_MAX: Final = 40
"""How often a server is asked for more on account of what it sent at once."""

# Why an event is not stored. The server that sent it is told.
_REFUSALS: Final = (Unacceptable, MissingEvents, PeerFailed)

# Of what comes again: why it was not accepted in detail is not kept.
_KNOWN_REASONS: Final = {
    Standing.REJECTED: "the event was rejected before",
    Standing.SOFT_FAILED: "the event was soft-failed before",
}


class Receipt(Struct, frozen=True):
    """What became of a received event, for the answer to the server that sent it.

    ``standing`` is None for one that was not stored; ``reason`` says why an event was
    not accepted.
    """

    standing: Standing | None
    reason: str | None = None


class ReceiveEvents(Struct, frozen=True, tag=True):
    """The command that travels to the owner of a room's slot.

    With ``is_relayed``, *origin* has sent them to this server alone.
    """

    events: tuple[ReceivedEvent, ...]
    origin: ServerName
    is_relayed: bool = False


class _Delivery(Struct):
    """The events of one command: where they come from, what is known of them, why the
    policy server refuses some, and how often more may be asked for on their account.
    """

    origin: ServerName
    relayed: frozenset[EventId] = frozenset()
    known: dict[EventId, Standing] = field(default_factory=dict[EventId, Standing])
    refusals: dict[EventId, str] = field(default_factory=dict[EventId, str])
    early_redacted: set[str] = field(default_factory=set[str])
    requests_left: int = _REQUESTS_MAX
    writes: list[asyncio.Future[None]] = field(default_factory=list)

    def asks(self) -> ServerName:
        """The server to ask, once more.

        Raises:
            PeerFailed: it has been asked too often.
        """
        if not self.requests_left:
            raise PeerFailed("too much is missing")
        self.requests_left -= 1
        return self.origin


class Receiving(Struct, frozen=True):
    """The way in for events whose signatures have been verified."""

    registry: RoomRegistry
    events: EventStore
    journal: Journal
    judge: Judge
    gaps: Gaps
    policing: Policing
    queues: KeyedLocks[str]

    async def receive(
        self, room_id: RoomId, command: ReceiveEvents
    ) -> dict[EventId, Receipt]:
        """Judge, store and announce events; durable on return.

        Those of one room wait for each other, also while other servers are asked.

        Raises:
            NotFound: this server knows no such room.
        """
        async with self.queues.of(room_id):
            room = await self._get_room(room_id)
            in_order = ordered(command.events, _event_of, all_named)
            ids = [each.event.event_id for each in in_order]
            relayed = frozenset(ids if command.is_relayed else ())
            delivery = _Delivery(command.origin, relayed)
            await self._look_up(room, in_order, delivery)
            receipts = {
                each.event.event_id: await self._take(room_id, each, delivery)
                for each in in_order
            }
            await asyncio.gather(*delivery.writes)
            return receipts

    @property
    def _arrivals(self) -> ArrivalReader:
        return ArrivalReader(self.events.db, self.events)

    async def _get_room(self, room_id: RoomId) -> Room:
        room = await self.registry.find(room_id)
        if room is None:
            raise NotFound("Unknown room.")
        return room

    async def _look_up(
        self, room: Room, events: Sequence[ReceivedEvent], delivery: _Delivery
    ) -> None:
        """Learn which of *events* are known. Two queries for 500 of them."""
        db, room_nid = self.events.db, room.view.nid
        event_ids = [each.event.event_id for each in events]
        nodes = await nodes_of(db, room_nid, event_ids)
        for event_id, node in nodes.items():
            delivery.known[event_id] = node.standing
        for ids in portions(event_ids):
            early = await graph_storage.early_redactions(db, room_nid, ids)
            delivery.early_redacted.update(early)

    async def _take(
        self,
        room_id: RoomId,
        received: ReceivedEvent,
        delivery: _Delivery,
        *,
        with_older: bool = True,
    ) -> Receipt:
        """Take in one event, and before it what it takes to judge it.

        It never keeps the next one from being taken in.
        """
        try:
            return await self._judged(room_id, received, delivery)
        except MissingPrevEvents:
            if with_older:
                await self._take_older(room_id, received, delivery)
        except _REFUSALS as error:
            return Receipt(None, str(error))
        try:
            return await self._judged(room_id, received, delivery, ask_state=True)
        except _REFUSALS as error:
            return Receipt(None, str(error))

    async def _take_older(
        self, room_id: RoomId, received: ReceivedEvent, delivery: _Delivery
    ) -> None:
        room = await self._get_room(room_id)
        try:
            older = await self.gaps.older_events(room, received.event, delivery.asks())
        except PeerFailed:
            # Then the state before the event has to do.
            return
        await self._look_up(room, older, delivery)
        for each in older:
            await self._take(room_id, each, delivery, with_older=False)

    async def _judged(
        self,
        room_id: RoomId,
        received: ReceivedEvent,
        delivery: _Delivery,
        *,
        ask_state: bool = False,
    ) -> Receipt:
        """Judge an event, asking for its auth events, and for the state before it if
        that is not known and *ask_state*.
        """
        room = await self._get_room(room_id)
        _check_acceptable(room, received.event)
        try:
            return await self._enter(room_id, received, delivery, None)
        except MissingAuthEvents:
            await self.gaps.fetch_auth_events(room, received.event, delivery.asks())
        except MissingPrevEvents:
            if not ask_state:
                raise
        try:
            return await self._enter(room_id, received, delivery, None)
        except MissingPrevEvents:
            if not ask_state:
                raise
        if room.view.partial is not None:
            return await self._defer(room, received, delivery)
        prior = await self.gaps.state_before(room, received.event, delivery.asks())
        return await self._enter(room_id, received, delivery, prior)

    async def _defer(
        self, room: Room, received: ReceivedEvent, delivery: _Delivery
    ) -> Receipt:
        """Let an event wait until all of the room's state is known."""
        event = received.event
        room_nid = room.view.nid
        waiting = await partial_storage.deferred_count(self.events.db, room_nid)
        if waiting >= DEFERRED_MAX:
            return Receipt(None, "the state of the room is not known yet")
        pdu = pdu_json(
            room.version, received.stored.client_json, received.stored.server_json
        )
        unit = self.journal.unit()
        deferred = DeferredEvent(
            event.event_id,
            delivery.origin,
            event.depth,
            encode_event_json(room.version, pdu),
        )
        partial_storage.insert_deferred(unit, room_nid, deferred)
        await self.journal.commit(unit)
        return Receipt(None)

    async def _enter(
        self,
        room_id: RoomId,
        received: ReceivedEvent,
        delivery: _Delivery,
        prior: Mapping[StateKey, int] | None,
    ) -> Receipt:
        """Judge an event in the room as it is, and put it on its way to the disk."""
        event_id = received.event.event_id
        known = delivery.known.get(event_id, Standing.OUTLIER)
        if known is not Standing.OUTLIER:
            return Receipt(known, _KNOWN_REASONS.get(known))
        while True:
            room = await self._get_room(room_id)
            await room.markers.prepare(room.view, [received.event])
            async with room.lock:
                if prior is None and self._enter_live(room, received, delivery):
                    delivery.known[event_id] = Standing.ACCEPTED
                    return Receipt(Standing.ACCEPTED)
                await room.settled()
                if not self.registry.holds(room):
                    # It was dropped, or something before could not be stored.
                    continue
                with room.kept():
                    receipt = await self._enter_judged(room, received, delivery, prior)
            if receipt is None:
                received = await self._signed(room, received, delivery)
                continue
            assert receipt.standing is not None
            delivery.known[event_id] = receipt.standing
            return receipt

    async def _signed(
        self, room: Room, received: ReceivedEvent, delivery: _Delivery
    ) -> ReceivedEvent:
        """*received* as the room's policy server has signed it, if it does."""
        try:
            stored = await self.policing.signed(room, received.stored)
        except MatrixError as error:
            delivery.refusals[received.event.event_id] = error.message
            return received
        return replace(received, stored=stored)

    def _enter_live(
        self, room: Room, received: ReceivedEvent, delivery: _Delivery
    ) -> bool:
        """Take in an event that comes next in a room that has not forked.

        Reads nothing: its auth events are those of the current state. False, and
        nothing is done, if it is none such, or not allowed.
        """
        event, head = received.event, room.head
        if (
            not self.registry.holds(room)
            or event.type == REDACTION
            or event.event_id in delivery.known
            or event.event_id in delivery.early_redacted
            or not _is_next(room, head, event)
            or not self.policing.recommends(room, received.stored)
        ):
            return False
        try:
            check_auth(
                room.version, event, head.auth, server_signed=signed_when_received
            )
        except AuthRuleViolation:
            return False
        unit = self.journal.unit()
        built = received.stored
        stored = StoredEvent.of(
            built,
            event_nid=unit.pos(),
            room_nid=room.view.nid,
            room_pos=head.room_pos + 1,
        )
        part = ServerPart(event.depth, built.server_json)
        is_relayed = event.event_id in delivery.relayed
        item = Staged(event, stored, part, is_relayed=is_relayed)
        successor, item = room.live(head, item)
        delivery.writes.append(self._submit(room, unit, successor, item))
        return True

    async def _enter_judged(
        self,
        room: Room,
        received: ReceivedEvent,
        delivery: _Delivery,
        prior: Mapping[StateKey, int] | None,
    ) -> Receipt | None:
        """None, and nothing is done, if the policy server has to be asked first."""
        event = received.event
        refusal = None
        is_recommended = self.policing.recommends(room, received.stored)
        if not is_recommended:
            refusal = delivery.refusals.get(event.event_id)
        judgement = await self.judge.judge(room, event, prior, refusal=refusal)
        if judgement.standing is Standing.ACCEPTED and not is_recommended:
            return None
        arrival = await self._arrivals.read(room, received.stored, judgement)
        unit = self.journal.unit()
        successor, item = arrival.stage(room, unit)
        if event.event_id in delivery.relayed:
            item = replace(item, is_relayed=True)
        delivery.writes.append(self._submit(room, unit, successor, item))
        return Receipt(judgement.standing, judgement.reason)

    def _submit(
        self, room: Room, unit: JournalUnit, successor: Head, item: Staged
    ) -> asyncio.Future[None]:
        room.commit(unit, successor, [item])
        self.events.remember_on_commit(unit, item.stored)
        return room.submit(self.journal, unit, discard=self.registry.discard)


def _check_acceptable(room: Room, event: Event) -> None:
    """Refuse what is not worth storing.

    Raises:
        Unacceptable: the event is of another room, or has no place in this one.
    """
    if event.room_id != room.view.room_id:
        raise Unacceptable("the event is of another room")
    if not event.prev_events and event.event_id != room.view.create.event_id:
        raise Unacceptable("an event without previous events")


def _is_next(room: Room, head: Head, event: Event) -> bool:
    """Whether *event* names just the extremities, and auth events of current state."""
    if set(event.prev_events) != {each.event_id for each in head.extremities}:
        return False
    if unknown_members(room, event, StateAt(head.state, {})):
        return False
    keys = auth_event_keys(
        room.version, event.type, event.state_key, event.sender, event.content
    )
    selected = [
        entry.event_id for key in keys if (entry := head.state.get(key)) is not None
    ]
    return sorted(event.auth_events) == sorted(selected)


def _event_of(received: ReceivedEvent) -> Event:
    return received.event
