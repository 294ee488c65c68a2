"""Joins rooms of other servers: their state becomes what this server starts from."""

import asyncio
from collections.abc import Mapping, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.protocol.auth_state import AuthState
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_state import CREATE, StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms import graph_storage, partial_storage, storage
from tremula.rooms.arrivals import GAP_POSITIONS
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.graph import Standing, missing_of
from tremula.rooms.judging import violation
from tremula.rooms.outliers import Outliers, RoomIdentity, check_outliers
from tremula.rooms.partial import PartialState
from tremula.rooms.peers import PeerFailed
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import Room
from tremula.rooms.staging import Staged, announce_reread
from tremula.rooms.state import MEMBER, StateEvent, StateMap, StateUpdate, state_content
from tremula.rooms.view import RoomView


class AdoptRoom(Struct, frozen=True, tag=True):
    """The command that travels to the owner of a room's slot.

    ``servers`` are those in the room if members are left out of the state, else None.
    """

    version: RoomVersion
    state: tuple[ReceivedEvent, ...]
    auth_chain: tuple[ReceivedEvent, ...]
    join_event: ReceivedEvent
    servers: tuple[ServerName, ...] | None


class AlreadyResident(Exception):
    """This server is in the room already: a join of it is received like any event."""


class _Told(Struct, frozen=True):
    """A room as another server told it, and checked."""

    state: Mapping[StateKey, BuiltEvent]
    outliers: Outliers
    missing: tuple[EventId, ...] = ()


class Adoption(Struct, frozen=True):
    """Makes rooms of other servers rooms of this one."""

    db: Reader
    registry: RoomRegistry
    events: EventStore
    journal: Journal
    queues: KeyedLocks[str]

    async def adopt(self, room_id: RoomId, command: AdoptRoom) -> EventId:
        """Store a room's state, and the join of one of our users as its newest event.

        Raises:
            AlreadyResident: another join has brought this server in.
            PeerFailed: what the other server told can't be the state of this room, or
                does not allow the join.
        """
        join = command.join_event.event
        async with self.queues.of(room_id):
            row = await storage.find_room(self.db, room_id)
            told = await self._check(room_id, row, command)
            nodes = await graph_storage.nodes_by_ids(
                self.db, [join.event_id, *join.prev_events]
            )
            join_node = nodes.get(join.event_id)
            if join_node is not None:
                if join_node.standing is Standing.ACCEPTED:
                    # It has come by the way that all events come.
                    return join.event_id
                raise PeerFailed("the join is an event that this server refused")
            room = await self.registry.find(room_id)
            if room is not None and self.registry.own.name in room.view.joined_servers:
                raise AlreadyResident("this server is in the room already")
            missing = missing_of(join.prev_events, nodes)
            await self._enter(room_id, row, command, replace(told, missing=missing))
            return join.event_id

    async def _check(
        self, room_id: RoomId, row: storage.RoomRow | None, command: AdoptRoom
    ) -> _Told:
        state = _state_of(command.state)
        create = state.get(CREATE)
        if create is None or not _is_create_of(create.event, room_id, command.version):
            raise PeerFailed("a state without the room's create event")
        identity = RoomIdentity(
            row.room_nid if row else None, room_id, command.version, create.event
        )
        everything = [*command.auth_chain, *command.state]
        outliers = await check_outliers(
            self.db, identity, [each.stored for each in everything]
        )
        usable = outliers.usable_ids()
        state = {
            k: built for k, built in state.items() if built.event.event_id in usable
        }
        join = command.join_event.event
        entries = {key: built.event for key, built in state.items()}
        if command.servers is not None:
            entries = _cited_members(command, usable) | entries
        reason = violation(command.version, join, AuthState(command.version, entries))
        if reason is not None or join.room_id != room_id:
            raise PeerFailed(f"the join is not allowed: {reason}")
        return _Told(state, outliers)

    async def _enter(
        self,
        room_id: RoomId,
        row: storage.RoomRow | None,
        command: AdoptRoom,
        told: _Told,
    ) -> None:
        while True:
            room = await self.registry.find(room_id)
            if room is None:
                await self._store_new(room_id, row, command, told)
                return
            async with room.lock:
                await room.settled()
                if not self.registry.holds(room):
                    continue
                unit = self.journal.unit()
                base_pos = room.head.room_pos + GAP_POSITIONS
                done = self._store(room, unit, command, told, base_pos=base_pos)
            await done
            return

    def _store_new(
        self,
        room_id: RoomId,
        row: storage.RoomRow | None,
        command: AdoptRoom,
        told: _Told,
    ) -> asyncio.Future[None]:
        unit = self.journal.unit()
        view = RoomView(
            nid=row.room_nid if row else unit.pos(),
            room_id=room_id,
            version=command.version,
            state=StateMap(),
            room_pos=0,
        )
        if row is None:
            storage.insert_room(
                unit, storage.RoomRow(view.nid, room_id, view.version.id)
            )
        elif row.room_version != view.version.id:
            # Who had invited somebody did not tell the truth.
            storage.update_room_version(unit, view.nid, view.version.id)
        room = self.registry.new(view)
        done = self._store(room, unit, command, told, base_pos=0)
        self.registry.add(room)
        return done

    def _store(
        self,
        room: Room,
        unit: JournalUnit,
        command: AdoptRoom,
        told: _Told,
        *,
        base_pos: int,
    ) -> asyncio.Future[None]:
        """Replace the state at *base_pos*, and put the join right after it."""
        nids = told.outliers.insert(unit, room.view.nid)
        current = room.head.state
        # A partial state stands at its place as a whole, to be told from what is known
        # of other times.
        unchanged = current if command.servers is None else StateMap()
        update = StateUpdate(
            _replaced(unchanged, told.state, nids, room_pos=base_pos),
            removed=tuple(key for key in current if key not in told.state),
        )
        pos = unit.pos()
        room.writer.write_update(unit, room.view, update, room_pos=base_pos, pos=pos)

        def take_over() -> None:
            room.view.apply(base_pos, update)

        unit.on_commit(take_over)
        announce_reread(unit, room.view)
        state = room.head.state.updated(update)
        head = replace(
            room.head,
            auth=room.head.auth.advanced_to(state),
            state=state,
            room_pos=base_pos,
        )
        built = command.join_event.stored
        stored = StoredEvent.of(
            built,
            event_nid=unit.pos(),
            room_nid=room.view.nid,
            room_pos=base_pos + 1,
        )
        part = ServerPart(built.event.depth, built.server_json)
        successor, item = room.live(head, Staged(built.event, stored, part))
        item = replace(item, graph=replace(item.graph, missing=told.missing))
        self._record_partial(room, unit, command, item, base_pos=base_pos)
        room.begin_anew(unit, head, also=command.servers or (), pos=pos)
        room.commit(unit, successor, [item])
        self.events.remember_on_commit(unit, stored)
        return room.submit(self.journal, unit, discard=self.registry.discard)

    def _record_partial(
        self,
        room: Room,
        unit: JournalUnit,
        command: AdoptRoom,
        join: Staged,
        *,
        base_pos: int,
    ) -> None:
        partial = None
        if command.servers is not None:
            partial = PartialState(join.stored.event_nid, base_pos, command.servers)
        partial_storage.replace_partial(unit, room.view.nid, partial)
        unit.on_commit(lambda: room.view.become_partial(partial))


def _cited_members(command: AdoptRoom, usable: Set[EventId]) -> dict[StateKey, Event]:
    """The members that the join names as auth events: they decide on it, and may have
    been left out of the state.
    """
    cited = command.join_event.event.auth_events
    events = [each.event for each in command.auth_chain]
    return {
        each.key: each
        for each in events
        if each.event_id in cited and each.event_id in usable and each.type == MEMBER
    }


def _state_of(events: Sequence[ReceivedEvent]) -> dict[StateKey, BuiltEvent]:
    state: dict[StateKey, BuiltEvent] = {}
    for received in events:
        event = received.event
        if event.state_key is None:
            raise PeerFailed("a state with an event that is none of it")
        other = state.setdefault(event.key, received.stored)
        if other.event.event_id != event.event_id:
            raise PeerFailed("a state with two events at one key")
    return state


def _is_create_of(event: Event, room_id: RoomId, version: RoomVersion) -> bool:
    """Whether a room of this ID and version may begin with *event*."""
    # "If room_version isn't given, it is 1" (CS m.room.create).
    named = event.content.get("room_version", "1")
    return event.room_id == room_id and named == version.id


def _replaced(
    current: StateMap,
    told: Mapping[StateKey, BuiltEvent],
    nids: Mapping[EventId, int],
    *,
    room_pos: int,
) -> tuple[StateEvent, ...]:
    """The events by which the state that was told differs from *current*."""
    replaced: list[StateEvent] = []
    for (event_type, state_key), built in told.items():
        event = built.event
        before = current.get((event_type, state_key))
        if before is None or before.event_id != event.event_id:
            replaced.append(
                StateEvent(
                    event.event_id,
                    nids[event.event_id],
                    room_pos,
                    event_type,
                    state_key,
                    event.sender,
                    state_content(event_type, event.content),
                )
            )
    return tuple(replaced)
