"""Rooms and what users keep about themselves and them, over HTTP, without accounts.

The access token of a user is the user ID itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import orjson

from tests.fakes.clock import FakeClock
from tests.fakes.federation import FakeTransport
from tests.http_client import Client
from tremula.features.account_data import routes as account_data_routes
from tremula.features.account_data import tag_routes
from tremula.features.account_data.service import AccountData
from tremula.features.account_data.sync import (
    GlobalAccountDataPart,
    RoomAccountDataPart,
)
from tremula.features.account_data.tags import Tags
from tremula.features.ephemeral_events import routes as ephemeral_events_routes
from tremula.features.ephemeral_events.service import EphemeralEvents
from tremula.features.ephemeral_events.sync import EphemeralEventsPart
from tremula.features.filters import routes as filters_routes
from tremula.features.filters.service import Filters
from tremula.features.mutes.service import MUTE, Mutes
from tremula.features.presence import routes as presence_routes
from tremula.features.presence.audience import Audience
from tremula.features.presence.service import Presence
from tremula.features.presence.sync import PresencePart
from tremula.features.profiles import routes as profiles_routes
from tremula.features.profiles.propagation import ProfilePropagation
from tremula.features.profiles.remote import RemoteProfiles
from tremula.features.profiles.service import Profiles
from tremula.features.push.service import PushRules
from tremula.features.receipts import inbox_routes
from tremula.features.receipts import routes as receipts_routes
from tremula.features.receipts.inbox import Inbox
from tremula.features.receipts.service import Receipts
from tremula.features.receipts.sync import ReceiptsPart
from tremula.features.sync.parts import RoomPart, RoomRef, SyncContext, UserPart
from tremula.features.typing import routes as typing_routes
from tremula.features.typing.service import Typing
from tremula.features.typing.sync import TypingPart
from tremula.infra.cache import ByteLRU
from tremula.infra.config import RateLimits
from tremula.infra.db import Database
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.outbox import Outbox
from tremula.infra.federation.peers import Peers
from tremula.infra.http import Requester, RequestingClient, Router
from tremula.infra.http.application import Application
from tremula.infra.journal import Journal
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter
from tremula.infra.slots import SingleProcessSlots
from tremula.protocol.filters import NO_FILTER, Filter
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, ServerName, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import SigningKey
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import OwnServer
from tremula.rooms.rooms import Rooms

ALICE: Final = UserId("@alice:test")
BOB: Final = UserId("@bob:test")
MALLORY: Final = UserId("@mallory:test")
GUEST: Final = UserId("@guest:test")

SERVER: Final = ServerName("test")
_KEY: Final = SigningKey.from_seed("ed25519:test", bytes(32))


class TokensAreUserIds:
    """An `Authenticator` that believes everybody."""

    def recall(self, token: str, client: RequestingClient) -> Requester | None:
        return None

    async def authenticate(
        self, token: str, client: RequestingClient, *, query_string: bytes
    ) -> Requester:
        return Requester(
            user_id=UserId(token),
            device_id=DeviceId("DEVICE"),
            is_guest=token == GUEST,
            token_id=1,
            is_admin=False,
        )

    def is_current(self, requester: Requester) -> bool:
        return bool(requester.token_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDataServer:
    """The services of one process."""

    database: Database
    journal: Journal
    clock: FakeClock
    reader: RoomReader
    rooms: Rooms
    memberships: Memberships
    profiles: Profiles
    propagation: ProfilePropagation
    account_data: AccountData
    push_rules: PushRules
    mutes: Mutes
    filters: Filters
    typing: Typing
    presence: Presence
    room_parts: dict[str, RoomPart]
    user_parts: dict[str, UserPart]
    anonymous: Client

    def client(self, user_id: UserId) -> Client:
        """A client with the token of *user_id*."""
        return Client(self.anonymous.app, token=user_id)

    async def create_room(self, *members: UserId, version: str = "12") -> RoomId:
        """A public room, made by the first of its *members*."""
        creator, *others = members
        # The room ID is a hash of the create event, which has the time in it.
        self.clock.advance_ms(1)
        room_id = await self.rooms.create(
            ROOM_VERSIONS[version],
            [
                Draft("m.room.create", creator, {"room_version": version}, ""),
                _member(creator, "join"),
                Draft("m.room.join_rules", creator, {"join_rule": "public"}, ""),
            ],
        )
        for user_id in others:
            await self.rooms.append(room_id, [_member(user_id, "join")])
        return room_id

    async def leave(self, room_id: RoomId, user_id: UserId) -> None:
        """*user_id* leaves the room."""
        await self.rooms.append(room_id, [_member(user_id, "leave")])

    async def send(self, room_id: RoomId, sender: UserId, **content: object) -> EventId:
        """Send a message to the room."""
        draft = Draft("m.room.message", sender, {"body": "", **content})
        return (await self.rooms.append(room_id, [draft]))[0]

    async def context(self, user_id: UserId, definition: object = None) -> SyncContext:
        """What `/sync` would tell its parts; *definition* is a filter's JSON."""
        memberships = (await self.memberships.of_user(user_id)).values()
        return SyncContext(
            user_id=user_id,
            device_id=DeviceId("DEVICE"),
            now=self.journal.position,
            joined_rooms={
                room.room_nid: room.room_id
                for room in memberships
                if room.membership == "join"
            },
            ignored_users=await self.account_data.ignored_users(user_id),
            filter=Filter.parse(definition) if definition else NO_FILTER,
        )

    async def room_events(
        self, part: str, ctx: SyncContext, since: int = 0
    ) -> dict[RoomId, list[dict[str, Any]]]:
        """The events that a part adds to each room, where it says there are any."""
        source = self.room_parts[part]
        changed = await source.changed_rooms(ctx, since)
        rooms = [
            RoomRef(nid, room_id)
            for nid, room_id in ctx.joined_rooms.items()
            if nid in changed
        ]
        events = await source.room_events(ctx, rooms, since)
        return {
            ctx.joined_rooms[nid]: [orjson.loads(event) for event in of_room]
            for nid, of_room in events.items()
        }

    async def user_events(
        self, part: str, ctx: SyncContext, since: int = 0
    ) -> list[dict[str, Any]]:
        """The events that a part adds to the top level."""
        section = await self.user_parts[part].user_section(ctx, since)
        events: list[dict[str, Any]] = orjson.loads(section or b'{"events":[]}')[
            "events"
        ]
        return events


def _member(user_id: UserId, membership: str) -> Draft:
    return Draft("m.room.member", user_id, {"membership": membership}, user_id)


@dataclass(frozen=True, slots=True)
class _Engine:
    journal: Journal
    memberships: Memberships
    events: EventStore
    reader: RoomReader
    rooms: Rooms


def _start_engine(database: Database, journal: Journal, clock: FakeClock) -> _Engine:
    memberships = Memberships(database, journal)
    slots = SingleProcessSlots()
    own = OwnServer(SERVER, _KEY)
    outbox = Outbox(clock)
    registry = RoomRegistry(database, journal, slots, own, memberships, outbox)
    events = EventStore(database, ByteLRU(1_000_000))
    reader = RoomReader(database, registry, events)
    rooms = Rooms(
        registry=registry,
        events=events,
        journal=journal,
        slots=slots,
        clock=clock,
    )
    return _Engine(journal, memberships, events, reader, rooms)


def _remote_profiles(clock: FakeClock) -> RemoteProfiles:
    """None can be had: no other server can be reached."""
    client = FederationClient(Peers(SERVER), _KEY, FakeTransport(is_down=True))
    return RemoteProfiles(client, clock)


async def start_user_data(
    database: Database, clock: FakeClock, *, has_presence: bool = True
) -> UserDataServer:
    """Build the services as ``app.py`` does, for a process alone."""
    journal = await Journal.open(database)
    return build_user_data(database, journal, clock, has_presence=has_presence)


def build_user_data(
    database: Database, journal: Journal, clock: FakeClock, *, has_presence: bool = True
) -> UserDataServer:
    """Build the services of one of several processes."""
    engine = _start_engine(database, journal, clock)
    reader, memberships = engine.reader, engine.memberships
    profiles = Profiles(database, journal, _remote_profiles(clock), SERVER)
    push_rules = PushRules(database, journal, memberships)
    account_data = _account_data(database, engine, push_rules)
    mutes = _mutes(database, engine, account_data, push_rules, clock)
    typing = Typing(database, reader, journal, clock)
    audience = Audience(reader, memberships)
    presence = Presence(
        db=database,
        journal=journal,
        audience=audience,
        clock=clock,
        enabled=has_presence,
    )
    receipts = Receipts(database, journal, reader, engine.events, account_data, clock)
    ephemeral = EphemeralEvents(reader, journal, clock)
    room_parts: dict[str, RoomPart] = {
        "account_data": RoomAccountDataPart(database, journal),
        "receipts": ReceiptsPart(database, journal),
        "typing": TypingPart(journal, typing),
        "ephemeral_events": EphemeralEventsPart(ephemeral),
    }
    served = (
        (profiles_routes, profiles),
        (account_data_routes, account_data),
        (tag_routes, Tags(account_data)),
        (filters_routes, filters := Filters(database, clock)),
        (typing_routes, typing),
        (presence_routes, presence),
        (receipts_routes, receipts),
        (ephemeral_events_routes, ephemeral),
        (inbox_routes, Inbox(receipts, account_data, clock)),
    )
    return UserDataServer(
        database=database,
        journal=journal,
        clock=clock,
        reader=reader,
        rooms=engine.rooms,
        memberships=memberships,
        profiles=profiles,
        propagation=_propagation(database, engine, profiles),
        account_data=account_data,
        push_rules=push_rules,
        mutes=mutes,
        filters=filters,
        typing=typing,
        presence=presence,
        room_parts=room_parts,
        user_parts={
            "account_data": GlobalAccountDataPart(database, journal, account_data),
            "presence": PresencePart(journal, presence, profiles, audience, reader),
        },
        anonymous=_serve(served, clock),
    )


def _account_data(
    database: Database, engine: _Engine, push_rules: PushRules
) -> AccountData:
    return AccountData(
        db=database,
        journal=engine.journal,
        reader=engine.reader,
        memberships=engine.memberships,
        push_rules=push_rules,
    )


def _mutes(
    database: Database,
    engine: _Engine,
    account_data: AccountData,
    push_rules: PushRules,
    clock: FakeClock,
) -> Mutes:
    slots = SingleProcessSlots()
    mutes = Mutes(database, engine.reader, account_data, push_rules, slots, clock)
    account_data.follow(MUTE, mutes.follow)
    return mutes


def _propagation(
    database: Database, engine: _Engine, profiles: Profiles
) -> ProfilePropagation:
    return ProfilePropagation(
        db=database,
        journal=engine.journal,
        profiles=profiles,
        memberships=engine.memberships,
        rooms=engine.rooms,
        reader=engine.reader,
        slots=SingleProcessSlots(),
    )


def _serve(served: Sequence[tuple[ModuleType, object]], clock: FakeClock) -> Client:
    router = Router()
    for routes, service in served:
        router.add(routes, service)
    application = Application(
        router=router,
        authenticator=TokensAreUserIds(),
        limiter=RateLimiter(RateLimits(enabled=False), clock),
        metrics=Metrics(),
    )
    return Client(application.for_listener())


async def create_users(server: UserDataServer, user_ids: Sequence[UserId]) -> None:
    """Give each user a profile, as registration does."""
    unit = server.journal.unit()
    for user_id in user_ids:
        server.profiles.create(unit, user_id, user_id[1:].partition(":")[0])
    await server.journal.commit(unit)
