"""A remote server that makes whatever events a test wants, and answers as told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, Unpack

import orjson

from tests.rooms.federation.servers import Engine, Pdu
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.events import EventDraft, build_event, pdu_json
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.received_events import ReceivedEvent, receive_pdu
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import SigningKey
from tremula.rooms.events import Draft
from tremula.rooms.graph import Node
from tremula.rooms.peers import PeerFailed, RoomAt, StateIds
from tremula.rooms.receiving import Receipt

REMOTE: Final = ServerName("remote")
KEY: Final = SigningKey.from_seed("ed25519:r", bytes(32))

BOB: Final = UserId("@bob:remote")
CAROL: Final = UserId("@carol:remote")
UNKNOWN: Final = EventId("$" + "u" * 43)

State = Mapping[StateKey, EventId]


class Fields(TypedDict, total=False):
    """What an event has otherwise than by default."""

    prev: Sequence[EventId]
    auth: Sequence[EventId]
    state: State
    depth: int
    redacts: EventId
    room_id: RoomId
    ts: int


@dataclass(frozen=True, slots=True)
class Forged:
    """An event of the remote server, and the ID that it has."""

    event_id: EventId
    pdu: Pdu


@dataclass(slots=True)
class Remote:
    """Makes events for a room of *engine*, by default after all that is there."""

    engine: Engine
    room_id: RoomId
    ts: int = 1_782_000_000_000

    @property
    def alice(self) -> UserId:
        return self.engine.user("alice")

    async def extremities(self) -> list[EventId]:
        room = await self.engine.registry.find(self.room_id)
        assert room is not None
        return [each.event_id for each in room.head.extremities]

    async def event(
        self,
        sender: UserId,
        event_type: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        **fields: Unpack[Fields],
    ) -> Forged:
        """An event whose auth events are those of the current state, unless given."""
        view = await self.engine.view(self.room_id)
        room = await self.engine.registry.find(self.room_id)
        assert room is not None
        auth = fields.get("auth")
        if auth is None:
            state = fields.get("state") or await self.state()
            keys = auth_event_keys(view.version, event_type, state_key, sender, content)
            auth = [state[key] for key in keys if key in state]
        self.ts += 1
        built = build_event(
            view.version,
            EventDraft(
                room_id=fields.get("room_id", self.room_id),
                type=event_type,
                sender=sender,
                state_key=state_key,
                content=dict(content),
                origin_server_ts=fields.get("ts", self.ts),
                redacts=fields.get("redacts"),
            ),
            prev_events=fields.get("prev", await self.extremities()),
            auth_events=auth,
            depth=fields.get("depth", room.head.depth + 1),
            signing_key=KEY,
        )
        pdu = pdu_json(view.version, built.client_json, built.server_json)
        return Forged(built.event.event_id, orjson.loads(orjson.dumps(pdu)))

    async def message(self, sender: UserId = BOB, **fields: Unpack[Fields]) -> Forged:
        content = {"body": "hello"}
        return await self.event(sender, "m.room.message", content, **fields)

    async def topic(self, topic: str, **fields: Unpack[Fields]) -> Forged:
        content = {"topic": topic}
        return await self.event(BOB, "m.room.topic", content, "", **fields)

    async def member(
        self, sender: UserId, target: UserId, membership: str, **fields: Unpack[Fields]
    ) -> Forged:
        content = {"membership": membership}
        return await self.event(sender, "m.room.member", content, target, **fields)

    async def join(self, user: UserId, **fields: Unpack[Fields]) -> Forged:
        return await self.member(user, user, "join", **fields)

    async def redaction(self, target: EventId) -> Forged:
        return await self.event(BOB, "m.room.redaction", {}, redacts=target)

    async def send(self, *events: Forged) -> Receipt:
        """Deliver *events*; what became of the last."""
        pdus = [each.pdu for each in events]
        receipts = await self.engine.receive(self.room_id, *pdus, origin=REMOTE)
        return receipts[-1]

    async def state(self) -> dict[StateKey, EventId]:
        return await self.engine.state(self.room_id)

    async def node(self, event: Forged | EventId) -> Node | None:
        """What is stored of an event; None for one that is not accepted."""
        event_id = event.event_id if isinstance(event, Forged) else event
        view = await self.engine.view(self.room_id)
        return await self.engine.past.find(view, event_id)

    async def timeline(self) -> list[EventId]:
        """What clients read, oldest first."""
        view = await self.engine.view(self.room_id)
        events = await self.engine.events.forwards(view.nid, limit=1_000)
        return [event.event_id for event in events]

    async def promote(self, user: UserId, level: int = 50) -> EventId:
        """Give *user* a power level."""
        return await self.set_levels({self.alice: 100, user: level})

    async def set_levels(self, users: Mapping[UserId, int]) -> EventId:
        content = {"users": dict(users)}
        return await self.set_state("m.room.power_levels", content)

    async def set_state(
        self, event_type: str, content: Mapping[str, Any], state_key: str = ""
    ) -> EventId:
        """Alice sets state."""
        draft = Draft(event_type, self.alice, dict(content), state_key)
        return await self.engine.append(self.room_id, draft)


@dataclass(slots=True)
class ScriptedPeers:
    """`Peers` that know what a test has told them."""

    missing: list[Forged] = field(default_factory=list)
    # By the event that the state is before.
    states: dict[EventId, tuple[Sequence[EventId], Sequence[EventId]]] = field(
        default_factory=dict
    )
    events: dict[EventId, Forged] = field(default_factory=dict)
    auth_chains: dict[EventId, Sequence[Forged]] = field(default_factory=dict)
    # One for each time that older events are asked for, the newest event first.
    pages: list[Sequence[Forged]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def add(self, *events: Forged) -> None:
        """Have events that can be asked for one by one."""
        self.events.update((each.event_id, each) for each in events)

    async def get_missing_events(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        self.asked.append("get_missing_events")
        if not self.missing:
            raise PeerFailed("nothing")
        return _received(room.version, self.missing)

    async def backfill(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        self.asked.append("backfill")
        if not self.pages:
            raise PeerFailed("nothing")
        return _received(room.version, self.pages.pop(0))

    async def state_ids(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> StateIds:
        self.asked.append("state_ids")
        if event_id not in self.states:
            raise PeerFailed("404")
        return StateIds(*self.states[event_id])

    async def state(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        self.asked.append("state")
        ids = [each for part in self.states[event_id] for each in part]
        events = [self.events[each] for each in ids if each in self.events]
        return _received(room.version, events)

    async def event(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> ReceivedEvent | None:
        self.asked.append("event")
        known = self.events.get(event_id)
        return receive_pdu(room.version, known.pdu) if known else None

    async def event_auth(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        self.asked.append("event_auth")
        if event_id not in self.auth_chains:
            raise PeerFailed("404")
        return _received(room.version, self.auth_chains[event_id])


def _received(version: RoomVersion, events: Sequence[Forged]) -> list[ReceivedEvent]:
    return [receive_pdu(version, each.pdu) for each in events]
