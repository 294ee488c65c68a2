"""The writing API of rooms."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.annotations import annotation_digest
from tremula.protocol.errors import (
    AuthRuleViolation,
    DuplicateAnnotation,
    NotFound,
)
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms import storage
from tremula.rooms.adoption import Adoption, AdoptRoom, AlreadyResident
from tremula.rooms.backfilling import Backfilling, FillGap
from tremula.rooms.base_state import BaseStates
from tremula.rooms.branches import Branches
from tremula.rooms.completing import CompleteState, Completing
from tremula.rooms.event_states import EventStates
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft, StoredEvent
from tremula.rooms.gaps import Gaps
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.judging import Judge
from tremula.rooms.peers import PeerFailed, Peers
from tremula.rooms.policing import UNPOLICED, Policing
from tremula.rooms.purging import Closing
from tremula.rooms.receiving import Receipt, ReceiveEvents, Receiving
from tremula.rooms.rechecking import Rechecking
from tremula.rooms.refusing import refusal
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.resolver import Resolver
from tremula.rooms.room import REDACTION, Room
from tremula.rooms.sending import Sending
from tremula.rooms.staging import Staged
from tremula.rooms.state import MEMBER, StateMap
from tremula.rooms.telling import RoomTelling
from tremula.rooms.txns import SentTxns
from tremula.rooms.view import RoomView

_SLOT_KIND: Final = "room"
_OPAQUE_ID_BYTES: Final = 15


class AppendEvents(Struct, frozen=True, tag=True):
    """The command that travels to the owner of a room's slot."""

    drafts: tuple[Draft, ...]


Command = AppendEvents | ReceiveEvents | AdoptRoom | CompleteState | FillGap
Answer = list[EventId] | Mapping[EventId, Receipt] | EventId | bool | None

CALLS: Final = CallTypes(Command, Answer, errors=(AlreadyResident, PeerFailed))
"""How commands to a room's owner, and answers, travel."""


class Rooms:
    """Sends events to rooms: builds, authorises, stores and announces them.

    An ``append`` to a room in memory costs one unit of work and no query.
    """

    def __init__(
        self,
        *,
        registry: RoomRegistry,
        events: EventStore,
        journal: Journal,
        slots: Slots,
        clock: Clock,
        peers: Peers | None = None,
        policing: Policing = UNPOLICED,
    ) -> None:
        self._registry = registry
        self._events = events
        self._journal = journal
        self._slots = slots
        self._clock = clock
        self._newest_create_ms = 0
        self._turns: KeyedLocks[tuple[str, bytes | StateKey]] = KeyedLocks()
        db, queues = events.db, KeyedLocks[str]()
        self._txns = txns = SentTxns(db)
        states = EventStates(db, Branches(db), Resolver(db))
        judge = Judge(db, events, states)
        gaps = Gaps(db, journal, peers)
        self._receiving = Receiving(
            registry, events, journal, judge, gaps, policing, queues
        )
        self._sending = Sending(
            registry, events, journal, judge, policing, txns, clock, KeyedLocks()
        )
        bases = BaseStates(events, journal, states)
        self._completing = Completing(
            registry, journal, gaps, bases, Rechecking(judge), self._receiving, queues
        )
        Closing(registry, journal, queues).serve(slots)
        self._adoption = Adoption(db, registry, events, journal, queues)
        self._backfilling = Backfilling(registry, events, journal, peers, clock, queues)
        RoomTelling(registry, events, registry.own.name).listen(journal)
        slots.register(_SLOT_KIND, self._do, CALLS)
        slots.on_taken(lambda _: txns.look_again())

    async def append(self, room_id: RoomId, drafts: Sequence[Draft]) -> list[EventId]:
        """Send *drafts* to a room, all of them or none; durable on return.

        In a room with a policy server, or with more forward extremities than one event
        may name, they are sent one by one.

        A transaction id that was used before answers the event of that time. State
        that is what the sender set it to already answers the event that did.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the authorisation rules refuse an event.
            BadJson: they would, whoever sent it.
            TooLarge: an event is past the size limits.
            BadJson: a content cannot be an event's.
            DuplicateAnnotation: the sender has annotated an event like this already.
            MatrixError: the room's policy server refuses an event, or can't be asked.
        """
        event_ids: list[EventId] = await self._slots.call(
            _SLOT_KIND, room_id, AppendEvents(tuple(drafts))
        )
        return event_ids

    async def receive(
        self,
        room_id: RoomId,
        events: Sequence[ReceivedEvent],
        *,
        origin: ServerName,
        is_relayed: bool = False,
    ) -> Mapping[EventId, Receipt]:
        """Take in events of other servers, whose signatures have been verified.

        Durable on return, and announced as far as clients are to see them. No event
        keeps another from being taken in. What they name and is not here is asked of
        *origin*. An event that comes next in a room that has not forked costs no query
        beside those for all together. With *is_relayed* others are sent them.

        Raises:
            NotFound: this server knows no such room.
        """
        receipts: Mapping[EventId, Receipt] = await self._slots.call(
            _SLOT_KIND, room_id, ReceiveEvents(tuple(events), origin, is_relayed)
        )
        return receipts

    async def adopt(
        self,
        version: RoomVersion,
        room_id: RoomId,
        *,
        state: Sequence[ReceivedEvent],
        auth_chain: Sequence[ReceivedEvent],
        join_event: ReceivedEvent,
        servers: Sequence[ServerName] | None = None,
    ) -> EventId:
        """Make a room of other servers one of ours: *join_event* has let a user in.

        *state* is that before the join; if *servers* are given, without most of its
        members, and these servers are in the room: see `complete`. Signatures of all
        have been verified. What this server knew of the room, if all of its users had
        left, is brought up to date. Durable on return.

        Raises:
            AlreadyResident: another join has brought this server in.
            PeerFailed: this can't be the state of the room, or forbids the join.
        """
        command = AdoptRoom(
            version,
            tuple(state),
            tuple(auth_chain),
            join_event,
            None if servers is None else tuple(servers),
        )
        event_id: EventId = await self._slots.call(_SLOT_KIND, room_id, command)
        return event_id

    async def complete(self, room_id: RoomId, server: ServerName) -> None:
        """Ask *server* for what is missing of a room's state since it was adopted;
        nothing happens if it is complete. Durable on return.

        Raises:
            PeerFailed: that server does not help.
        """
        await self._slots.call(_SLOT_KIND, room_id, CompleteState(server))

    async def fill_gap(self, room_id: RoomId, gap: HistoryGap) -> bool:
        """Ask other servers for events that are missing in a room's timeline.

        Durable on return. Says whether the gap is another now, be it that nothing is
        to be shown of what came.
        """
        is_filled: bool = await self._slots.call(_SLOT_KIND, room_id, FillGap(gap))
        return is_filled

    async def create(
        self,
        version: RoomVersion,
        drafts: Sequence[Draft],
        *,
        room_id: RoomId | None = None,
        also: Callable[[JournalUnit, RoomView], None] | None = None,
    ) -> RoomId:
        """Make a room of *drafts*, the first of which is its ``m.room.create``.

        Durable on return, with all its events in one transaction. *room_id* is a
        random one unless given; from room version 12 on it follows from the create
        event. *also* adds what is to be stored together with the room.

        Raises:
            Conflict: a constraint refuses what *also* added.
            Forbidden: the authorisation rules refuse an event.
            BadJson: they would, whoever sent it.
            TooLarge: an event is past the size limits.
            BadJson: a content cannot be an event's.
        """
        unit = self._journal.unit()
        view = RoomView(
            nid=unit.pos(),
            room_id=room_id or _random_room_id(self._registry.own.name),
            version=version,
            state=StateMap(),
            room_pos=0,
        )
        room = self._registry.new(view)
        self._stage(room, unit, drafts, now_ms=self._next_create_ms())
        storage.insert_room(
            unit, storage.RoomRow(view.nid, view.room_id, view.version.id)
        )
        if also is not None:
            also(unit, view)
        self._registry.add(room)
        await self._submit(room, unit)
        return view.room_id

    async def _do(self, room_id: str, command: Command) -> Answer:
        if isinstance(command, AppendEvents):
            return await self._append(room_id, command)
        if isinstance(command, AdoptRoom):
            return await self._adoption.adopt(RoomId(room_id), command)
        if isinstance(command, CompleteState):
            return await self._completing.complete(RoomId(room_id), command)
        if isinstance(command, FillGap):
            return await self._backfilling.fill(RoomId(room_id), command)
        return await self._receiving.receive(RoomId(room_id), command)

    async def _append(self, room_id: str, command: AppendEvents) -> list[EventId]:
        draft = command.drafts[0]
        digest = annotation_digest(draft.type, draft.sender, draft.content)
        if digest is None and draft.state_key is None:
            return await self._append_chosen(room_id, command.drafts)
        turn = digest or (draft.type, draft.state_key or "")
        # Of duplicates at one time the second sees that the first is stored.
        async with self._turns.of((room_id, turn)):
            return await self._append_chosen(room_id, command.drafts, digest)

    def _append_chosen(
        self, room_id: str, drafts: Sequence[Draft], digest: bytes | None = None
    ) -> Awaitable[list[EventId]]:
        if drafts[0].event_id is None:
            return self._append_drafts(room_id, drafts, digest)
        # It may have been chosen for another event at the same time.
        return reread_on_conflict(lambda: self._append_drafts(room_id, drafts, digest))

    async def _append_drafts(
        self, room_id: str, drafts: Sequence[Draft], digest: bytes | None = None
    ) -> list[EventId]:
        room = await self._get_room(room_id)
        await room.markers.prepare(room.view, drafts)
        if room.view.partial and not all(map(room.view.knows, _concerned(drafts))):
            await self._registry.completions.wait(room.view.nid)
        redacted = None
        if len(drafts) == 1:
            draft = drafts[0]
            redacted = (
                await _redacted(self._events, room.view, draft)
                if draft.type == REDACTION
                else None
            )
            is_duplicate = digest is not None and await self._events.has_annotation(
                room.view.nid, digest
            )
            sent = (
                await _unchanged(self._events, room, draft)
                if draft.state_key is not None
                else None
            ) or await self._txns.find(room.view.nid, draft)
            if sent is not None:
                return [sent]
            if is_duplicate:
                raise DuplicateAnnotation("You have annotated the event so already.")
        while room.lock.locked() or not self._registry.holds(room):
            # Events of others are being taken in; or the room was dropped or failed
            # meanwhile: only the registry's may be written to.
            async with room.lock:
                room = await self._get_room(room_id)
            await room.markers.prepare(room.view, drafts)
            if (sent := await self._sent_before(room, drafts)) is not None:
                return [sent]
        # Nothing is awaited any more: of two requests with one transaction id, the
        # second has found what the first has begun.
        if self._sending.is_needed(room, drafts):
            # One by one: each comes after the last, or makes the extremities fewer.
            return [await self._sending.send(room.view.room_id, d) for d in drafts]
        unit = self._journal.unit()
        now_ms = self._clock.now_ms()
        staged = self._stage(room, unit, drafts, now_ms=now_ms, redacted=redacted)
        for draft, item in zip(drafts, staged, strict=True):
            if draft.txn is not None:
                self._txns.begin(unit, room.view.nid, draft, item.stored.event_id)
        await self._submit(room, unit)
        return [item.stored.event_id for item in staged]

    async def _sent_before(self, room: Room, drafts: Sequence[Draft]) -> EventId | None:
        # Those of several have no transaction ID.
        find, room_nid = self._txns.find, room.view.nid
        return await find(room_nid, drafts[0]) if len(drafts) == 1 else None

    async def _get_room(self, room_id: str) -> Room:
        room = await self._registry.find(RoomId(room_id))
        if room is None:
            raise NotFound("Unknown room.")
        return room

    def _stage(
        self,
        room: Room,
        unit: JournalUnit,
        drafts: Sequence[Draft],
        *,
        now_ms: int,
        redacted: StoredEvent | None = None,
    ) -> list[Staged]:
        try:
            staged = room.stage(unit, drafts, now_ms=now_ms, redacted=redacted)
        except AuthRuleViolation as error:
            event_type = drafts[0].type
            raise refusal(error, room.view.room_id, event_type=event_type) from error
        for item in staged:
            self._events.remember_on_commit(unit, item.stored)
        return staged

    def _next_create_ms(self) -> int:
        # RV12: a room's id is the hash of its create event, so that two rooms made
        # alike in one millisecond would be the same room.
        self._newest_create_ms = max(self._clock.now_ms(), self._newest_create_ms + 1)
        return self._newest_create_ms

    def _submit(self, room: Room, unit: JournalUnit) -> asyncio.Future[None]:
        return room.submit(self._journal, unit, discard=self._registry.discard)


async def _unchanged(events: EventStore, room: Room, draft: Draft) -> EventId | None:
    assert draft.state_key is not None
    key, view = (draft.type, draft.state_key), room.view
    if room.head.state.get(key) is not view.state.get(key):
        # Somebody sets it at this moment: to the same, maybe.
        await room.settled()
    current = view.state.get(key)
    if current is None or current.sender != draft.sender:
        return None
    if current.content.get("membership") != draft.content.get("membership"):
        return None
    stored = await events.by_nid(current.event_nid)
    # Python has 1, 1.0 and True for equal; of such contents the JSON differs.
    is_same = stored.content == draft.content and (
        _sorted_json(stored.content) == _sorted_json(draft.content)
    )
    return current.event_id if is_same else None


def _sorted_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _concerned(drafts: Sequence[Draft]) -> list[UserId]:
    """The users whose memberships *drafts* are about."""
    return [UserId(each.state_key or "") for each in drafts if each.type == MEMBER]


async def _redacted(
    events: EventStore, view: RoomView, draft: Draft
) -> StoredEvent | None:
    event_id = draft.redacts
    if view.version.redacts_in_content:
        event_id = draft.content.get("redacts")
    if not isinstance(event_id, str):
        return None
    return await events.find(view.nid, EventId(event_id))


def _random_room_id(server_name: ServerName) -> RoomId:
    return RoomId(f"!{secrets.token_urlsafe(_OPAQUE_ID_BYTES)}:{server_name}")
