"""Room engines of several servers in one process, and the network between them."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.fakes.clock import FakeClock
from tremula.infra.cache import ByteLRU
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import Database, open_database
from tremula.infra.federation.outbox import Outbox
from tremula.infra.journal import Journal
from tremula.infra.slots import SingleProcessSlots
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.events import EventDraft, build_event, pdu_json
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.received_events import ReceivedEvent, receive_pdu
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.signing import SigningKey
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.past import RoomPast
from tremula.rooms.peers import PeerFailed, Peers, RoomAt, StateIds
from tremula.rooms.reader import RoomReader
from tremula.rooms.receiving import Receipt
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import OwnServer
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView
from tremula.rooms.wire import WirePdus

Pdu = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The room engine of one server."""

    own: OwnServer
    database: Database
    journal: Journal
    registry: RoomRegistry
    reader: RoomReader
    events: EventStore
    memberships: Memberships
    rooms: Rooms
    past: RoomPast
    clock: FakeClock

    @property
    def name(self) -> ServerName:
        return self.own.name

    def user(self, localpart: str) -> UserId:
        return UserId(f"@{localpart}:{self.name}")

    async def view(self, room_id: RoomId) -> RoomView:
        return await self.reader.get_room(room_id)

    async def state(self, room_id: RoomId) -> dict[StateKey, EventId]:
        """The current state by event IDs."""
        view = await self.view(room_id)
        return {(e.type, e.state_key): e.event_id for e in view.state.values()}

    async def send(
        self, room_id: RoomId, sender: UserId, body: str = "hello"
    ) -> EventId:
        """Send a message."""
        return await self.append(
            room_id, Draft("m.room.message", sender, {"body": body})
        )

    async def append(self, room_id: RoomId, draft: Draft) -> EventId:
        self.clock.advance_ms(1)
        (event_id,) = await self.rooms.append(room_id, [draft])
        return event_id

    async def pdus(self, room_id: RoomId, nids: Collection[int]) -> list[Pdu]:
        """Events as they travel."""
        version = (await self.view(room_id)).version
        return [orjson.loads(each) for each in await self.past.pdus.of(version, nids)]

    async def pdu(self, room_id: RoomId, event_id: EventId) -> Pdu:
        view = await self.view(room_id)
        event = await self.events.find_stored(view.nid, event_id)
        assert event is not None
        (pdu,) = await self.pdus(room_id, [event.event_nid])
        return pdu

    async def receive(
        self, room_id: RoomId, *pdus: Pdu, origin: str = "remote"
    ) -> list[Receipt]:
        """Take in events, in this order; what became of each."""
        version = (await self.view(room_id)).version
        received = [receive_pdu(version, pdu) for pdu in pdus]
        receipts = await self.rooms.receive(
            room_id, received, origin=ServerName(origin)
        )
        return [receipts[each.event.event_id] for each in received]

    async def create(
        self, version: str, creator: UserId, *, join_rule: str = "public"
    ) -> RoomId:
        """A room of *creator* with power levels and a join rule."""
        rules = ROOM_VERSIONS[version]
        create: dict[str, Any] = {"room_version": version}
        if not rules.implicit_creator:
            create["creator"] = creator
        users = {} if rules.privileged_creators else {creator: 100}
        return await self.rooms.create(
            rules,
            [
                Draft("m.room.create", creator, create, ""),
                Draft("m.room.member", creator, {"membership": "join"}, creator),
                Draft("m.room.power_levels", creator, {"users": users}, ""),
                Draft("m.room.join_rules", creator, {"join_rule": join_rule}, ""),
            ],
        )


@asynccontextmanager
async def running_engine(
    name: str, source: SqliteFile | PostgresUrl, peers: Peers | None = None
) -> AsyncIterator[Engine]:
    """An engine over a new database."""
    database = await open_database(source)
    seed = name.encode().ljust(32, b".")[:32]
    own = OwnServer(ServerName(name), SigningKey.from_seed("ed25519:1", seed))
    journal = await Journal.open(database)
    memberships = Memberships(database, journal)
    clock = FakeClock()
    slots = SingleProcessSlots()
    outbox = Outbox(clock)
    registry = RoomRegistry(database, journal, slots, own, memberships, outbox)
    events = EventStore(database, ByteLRU(8_000_000))
    yield Engine(
        own=own,
        database=database,
        journal=journal,
        registry=registry,
        reader=RoomReader(database, registry, events),
        events=events,
        memberships=memberships,
        rooms=Rooms(
            registry=registry,
            events=events,
            journal=journal,
            slots=slots,
            clock=clock,
            peers=peers,
        ),
        past=RoomPast(database, WirePdus(database, journal, own)),
        clock=clock,
    )
    await database.close()


@dataclass(slots=True)
class Network:
    """Engines that can ask each other, but for those that are cut off."""

    engines: dict[str, Engine] = field(default_factory=dict)
    cuts: set[frozenset[str]] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def connects(self, a: str, b: str) -> bool:
        return frozenset((a, b)) not in self.cuts

    def peers_of(self, name: str) -> "NetworkPeers":
        return NetworkPeers(self, name)

    @asynccontextmanager
    async def running(self, folder: Path, *names: str) -> AsyncIterator[list[Engine]]:
        """Engines of these names, each over an SQLite file."""
        if not names:
            yield []
            return
        first, *rest = names
        source = SqliteFile(folder / f"{first}.db")
        async with (
            running_engine(first, source, self.peers_of(first)) as engine,
            self.running(folder, *rest) as others,
        ):
            self.engines[first] = engine
            yield [engine, *others]

    async def join(self, room_id: RoomId, user: UserId, *, at: str, over: str) -> None:
        """Have *user* of the server *at* join with the help of the server *over*."""
        joining, resident = self.engines[at], self.engines[over]
        pdu = await join_event(room_id, user, joining, resident)
        (receipt,) = await resident.receive(room_id, pdu, origin=at)
        assert not receipt.reason, receipt
        told = await tell_room(room_id, pdu, resident)
        await joining.rooms.adopt(
            told.version,
            room_id,
            state=told.state,
            auth_chain=told.auth_chain,
            join_event=told.join_event,
        )


@dataclass(frozen=True, slots=True)
class ToldRoom:
    """What a server answers to a join."""

    version: RoomVersion
    state: list[ReceivedEvent]
    auth_chain: list[ReceivedEvent]
    join_event: ReceivedEvent


async def join_event(
    room_id: RoomId, user: UserId, joining: Engine, resident: Engine
) -> Pdu:
    """The join of *user*, as *joining* completes what *resident* proposes."""
    room = await resident.registry.find(room_id)
    assert room is not None
    version, content = room.version, {"membership": "join"}
    keys = auth_event_keys(version, "m.room.member", user, user, content)
    state = await resident.state(room_id)
    built = build_event(
        version,
        EventDraft(
            room_id=room_id,
            type="m.room.member",
            sender=user,
            state_key=user,
            content=content,
            origin_server_ts=joining.clock.now_ms(),
        ),
        prev_events=[each.event_id for each in room.head.extremities],
        auth_events=[state[key] for key in keys if key in state],
        depth=room.head.depth + 1,
        signing_key=joining.own.key,
    )
    return as_received(pdu_json(version, built.client_json, built.server_json))


async def tell_room(room_id: RoomId, join: Pdu, resident: Engine) -> ToldRoom:
    """What *resident* answers to *join*, which it has taken in."""
    view = await resident.view(room_id)
    received = receive_pdu(view.version, join)
    node = await resident.past.find(view, received.event.event_id)
    assert node is not None
    before = await resident.past.state_before(view, node)
    assert before is not None
    chain = await resident.past.auth_chain(before.values())

    async def events(nids: Collection[int]) -> list[ReceivedEvent]:
        pdus = await resident.pdus(room_id, nids)
        return [receive_pdu(view.version, pdu) for pdu in pdus]

    return ToldRoom(
        view.version, await events(before.values()), await events(chain), received
    )


def as_received(pdu: Pdu) -> Pdu:
    """*pdu* with nothing but what JSON can hold."""
    copy: Pdu = orjson.loads(orjson.dumps(pdu))
    return copy


@dataclass(frozen=True, slots=True)
class NetworkPeers:
    """`Peers` of one engine over a `Network`."""

    network: Network
    name: str

    def _ask(self, origin: ServerName, what: str) -> Engine:
        engine = self.network.engines.get(origin)
        if engine is None or not self.network.connects(self.name, origin):
            raise PeerFailed(f"{origin} cannot be reached")
        self.network.asked.append((origin, what))
        return engine

    async def _received(
        self, engine: Engine, room: RoomAt, nids: Collection[int]
    ) -> list[ReceivedEvent]:
        pdus = await engine.pdus(room.room_id, nids)
        return [receive_pdu(room.version, pdu) for pdu in pdus]

    async def get_missing_events(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        engine = self._ask(origin, "get_missing_events")
        nodes = await engine.past.missing_between(
            await engine.view(room.room_id),
            earliest=earliest,
            latest=latest,
            min_depth=0,
            limit=limit,
        )
        return await self._received(engine, room, [node.nid for node in nodes])

    async def backfill(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        engine = self._ask(origin, "backfill")
        view = await engine.view(room.room_id)
        nodes = await engine.past.backfill(view, latest, limit=limit)
        return await self._received(engine, room, [node.nid for node in nodes])

    async def state_ids(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> StateIds:
        engine = self._ask(origin, "state_ids")
        state = await self._state(engine, room, event_id)
        chain = await engine.past.auth_chain(state)
        ids = await engine.past.ids([*state, *chain])
        return StateIds([ids[nid] for nid in state], [ids[nid] for nid in chain])

    async def state(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        engine = self._ask(origin, "state")
        state = await self._state(engine, room, event_id)
        chain = await engine.past.auth_chain(state)
        return await self._received(engine, room, {*state, *chain})

    async def _state(
        self, engine: Engine, room: RoomAt, event_id: EventId
    ) -> list[int]:
        view = await engine.view(room.room_id)
        node = await engine.past.find(view, event_id)
        state = await engine.past.state_before(view, node) if node else None
        if state is None:
            raise PeerFailed("404")
        return list(state.values())

    async def event(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> ReceivedEvent | None:
        engine = self._ask(origin, "event")
        view = await engine.view(room.room_id)
        stored = await engine.events.find_stored(view.nid, event_id)
        if stored is None:
            return None
        return (await self._received(engine, room, [stored.event_nid]))[0]

    async def event_auth(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        engine = self._ask(origin, "event_auth")
        view = await engine.view(room.room_id)
        stored = await engine.events.find_stored(view.nid, event_id)
        if stored is None:
            raise PeerFailed("404")
        chain = await engine.past.auth_chain([stored.event_nid])
        return await self._received(engine, room, chain)
