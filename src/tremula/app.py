"""The composition root: the only file that builds services, by plain constructor calls.

Read it from top to bottom to see what leans on what.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from msgspec import Struct

from tremula.features.account import routes as account_routes
from tremula.features.account.service import AccountHooks, Accounts, UserHook
from tremula.features.account_data import routes as account_data_routes
from tremula.features.account_data import tag_routes
from tremula.features.account_data.service import AccountData
from tremula.features.account_data.sync import (
    GlobalAccountDataPart,
    RoomAccountDataPart,
)
from tremula.features.account_data.tags import Tags
from tremula.features.capabilities import routes as capabilities_routes
from tremula.features.capabilities.service import Capabilities
from tremula.features.dehydrated_devices import routes as dehydrated_devices_routes
from tremula.features.dehydrated_devices.service import DehydratedDevices
from tremula.features.device_keys import federation as device_keys_federation
from tremula.features.device_keys import routes as device_keys_routes
from tremula.features.device_keys.asking import AskedServers
from tremula.features.device_keys.cross_signing import CrossSigning
from tremula.features.device_keys.erasure import KeyErasure
from tremula.features.device_keys.federation import KeysForServers
from tremula.features.device_keys.published import PublishedKeys
from tremula.features.device_keys.queries import KeyQueries, RemoteDevices
from tremula.features.device_keys.routes import KeysEdge
from tremula.features.device_keys.service import DeviceKeyUploads
from tremula.features.device_keys.signatures import Signatures
from tremula.features.device_lists import routes as device_lists_routes
from tremula.features.device_lists.encounters import Company
from tremula.features.device_lists.service import DeviceLists
from tremula.features.device_lists.sync import DeviceListsPart
from tremula.features.devices import routes as devices_routes
from tremula.features.devices.last_seen import LastSeen
from tremula.features.devices.service import Devices
from tremula.features.directory import federation as directory_federation
from tremula.features.directory import routes as directory_routes
from tremula.features.directory.published import PublishedRooms
from tremula.features.directory.remote import RemoteDirectory
from tremula.features.directory.service import Directory
from tremula.features.federation_events import routes as federation_events_routes
from tremula.features.federation_events.asking import RemoteEvents
from tremula.features.federation_events.service import EventsForServers
from tremula.features.federation_handshakes import (
    exchange_routes,
    invite_routes,
)
from tremula.features.federation_handshakes import routes as handshakes_routes
from tremula.features.federation_handshakes.departing import OutsideWishes
from tremula.features.federation_handshakes.handshake import Handshakes
from tremula.features.federation_handshakes.intake import Intake
from tremula.features.federation_handshakes.invitations import (
    Invitations,
    InvitePolicy,
)
from tremula.features.federation_handshakes.inviting import OutgoingInvitations
from tremula.features.federation_handshakes.join_answers import JoinAnswers
from tremula.features.federation_handshakes.joining import RemoteJoins
from tremula.features.federation_handshakes.resident import Resident
from tremula.features.federation_handshakes.restricted_joins import RestrictedJoins
from tremula.features.federation_handshakes.service import RemoteMemberships
from tremula.features.federation_handshakes.state_completion import StateCompletion
from tremula.features.federation_handshakes.third_party_invites import (
    ThirdPartyInvites,
)
from tremula.features.federation_handshakes.told_state import ToldState
from tremula.features.federation_transactions import (
    routes as federation_transactions_routes,
)
from tremula.features.federation_transactions.edus import InboundEdus
from tremula.features.federation_transactions.inbound_metrics import InboundMetrics
from tremula.features.federation_transactions.outbound_events import OutboundEvents
from tremula.features.federation_transactions.pdu_reader import OutboxPdus
from tremula.features.federation_transactions.pdus import InboundPdus
from tremula.features.federation_transactions.service import Transactions
from tremula.features.filters import routes as filters_routes
from tremula.features.filters.service import Filters
from tremula.features.history import routes as history_routes
from tremula.features.history.elsewhere import Elsewhere
from tremula.features.history.filling import GapFilling
from tremula.features.history.service import History
from tremula.features.key_backup import routes as key_backup_routes
from tremula.features.key_backup.service import KeyBackup
from tremula.features.login import routes as login_routes
from tremula.features.login.service import Logins
from tremula.features.login.tokens import LoginTokens
from tremula.features.membership import routes as membership_routes
from tremula.features.membership.departure import Departure
from tremula.features.membership.guest_eviction import GuestEviction
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.membership.service import Membership
from tremula.features.messages import routes as messages_routes
from tremula.features.messages.service import Messages
from tremula.features.one_time_keys import routes as one_time_keys_routes
from tremula.features.one_time_keys.claims import KeyClaims
from tremula.features.one_time_keys.service import OneTimeKeys
from tremula.features.one_time_keys.sync import KeyStatus
from tremula.features.openid import federation as openid_federation
from tremula.features.openid import routes as openid_routes
from tremula.features.openid.service import OpenIdTokens
from tremula.features.presence import routes as presence_routes
from tremula.features.presence.audience import Audience
from tremula.features.presence.federation import PresenceEdus, PresenceSender
from tremula.features.presence.service import Presence
from tremula.features.presence.sync import PresencePart
from tremula.features.profiles import federation as profiles_federation
from tremula.features.profiles import routes as profiles_routes
from tremula.features.profiles.propagation import ProfilePropagation
from tremula.features.profiles.remote import RemoteProfiles
from tremula.features.profiles.service import Profiles
from tremula.features.push import routes as push_routes
from tremula.features.push.service import PushRules
from tremula.features.receipts import routes as receipts_routes
from tremula.features.receipts.federation import ReceiptEdus, ReceiptSender
from tremula.features.receipts.service import Receipts
from tremula.features.receipts.sync import ReceiptsPart
from tremula.features.registration import routes as registration_routes
from tremula.features.registration import shared_secret_routes
from tremula.features.registration.service import Registrations
from tremula.features.registration.shared_secret import SharedSecretRegistration
from tremula.features.registration.tokens import RegistrationTokens
from tremula.features.remote_devices.federation import (
    DeviceListEdus,
    RemoteLists,
    SigningKeyEdus,
)
from tremula.features.remote_devices.fetching import ListFetcher
from tremula.features.remote_devices.introducing import DeviceListIntroducer
from tremula.features.remote_devices.noting import note_own_change
from tremula.features.remote_devices.resync import Resync
from tremula.features.remote_devices.service import RemoteDeviceKeys
from tremula.features.remote_devices.telling import (
    LIST_UPDATE,
    SIGNING_KEY_UPDATE,
    DeviceListSender,
)
from tremula.features.rendezvous import json_routes as json_rendezvous_routes
from tremula.features.rendezvous import routes as rendezvous_routes
from tremula.features.rendezvous.routes import TextRendezvous
from tremula.features.rendezvous.service import Rendezvous
from tremula.features.room_creation import routes as room_creation_routes
from tremula.features.room_creation.service import RoomCreation
from tremula.features.room_previews import routes as room_previews_routes
from tremula.features.room_previews.service import RoomPreviews
from tremula.features.room_state import routes as room_state_routes
from tremula.features.room_state.service import RoomState
from tremula.features.room_upgrades import routes as room_upgrades_routes
from tremula.features.room_upgrades.personal_settings import PersonalSettings
from tremula.features.room_upgrades.service import RoomUpgrades
from tremula.features.server_keys import routes as server_keys_routes
from tremula.features.server_keys.fetching import KeyFetcher
from tremula.features.server_keys.key_ring import KeyRing
from tremula.features.server_keys.notary import Notary
from tremula.features.server_keys.request_authentication import RequestAuthentication
from tremula.features.server_keys.service import OwnKeys, open_own_keys
from tremula.features.sessions import routes as sessions_routes
from tremula.features.sessions.service import Sessions
from tremula.features.spaces import federation as spaces_federation
from tremula.features.spaces import routes as spaces_routes
from tremula.features.spaces import summary_routes
from tremula.features.spaces.onlookers import UserOnlookers
from tremula.features.spaces.remote import RemoteSpaces
from tremula.features.spaces.service import Spaces
from tremula.features.spaces.serving import SpacesForServers
from tremula.features.spaces.space_rooms import OwnRooms
from tremula.features.spaces.summaries import RoomSummaries
from tremula.features.spaces.walking import Lookup
from tremula.features.sync import routes as sync_routes
from tremula.features.sync.event_shapes import EventShapes
from tremula.features.sync.invited_rooms import InvitedRooms
from tremula.features.sync.joined import JoinedRooms
from tremula.features.sync.lazy_members import LazyMembers
from tremula.features.sync.left_rooms import LeftRooms
from tremula.features.sync.room_entries import RoomEntries
from tremula.features.sync.rooms_section import RoomsSection
from tremula.features.sync.routes import SyncEdge
from tremula.features.sync.service import Sync
from tremula.features.sync.shared_entries import SharedEntries
from tremula.features.sync.state_section import StateSections
from tremula.features.sync.summary import Summaries
from tremula.features.sync.timeline import Timelines
from tremula.features.to_device import routes as to_device_routes
from tremula.features.to_device.federation import ToDeviceEdus
from tremula.features.to_device.service import EDU_TYPE as TO_DEVICE_EDU
from tremula.features.to_device.service import ToDevice
from tremula.features.to_device.sync import DeviceInbox
from tremula.features.typing import routes as typing_routes
from tremula.features.typing.federation import TypingEdus, TypingSender
from tremula.features.typing.service import Typing
from tremula.features.typing.sync import TypingPart
from tremula.features.uia.flows import Stage
from tremula.features.uia.password import PasswordStage, check_dummy
from tremula.features.uia.service import Uia
from tremula.features.users.passwords import Passwords
from tremula.features.users.service import Users
from tremula.features.wellknown import routes as wellknown_routes
from tremula.features.wellknown.service import WellKnown
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock, SystemClock
from tremula.infra.config import Config, PostgresUrl, SqliteFile
from tremula.infra.db import Database
from tremula.infra.db.migrations import check_server_name
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.durable_edus import TOPIC as DURABLE_EDUS_TOPIC
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.federation.edus import EduHandler
from tremula.infra.federation.heard import HeardServers
from tremula.infra.federation.opening import open_transport
from tremula.infra.federation.outbox import Outbox
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.federation.queues import Queues
from tremula.infra.federation.sending import Sender
from tremula.infra.federation.transport import FederationTransport
from tremula.infra.http import Router, observing
from tremula.infra.http.application import Application
from tremula.infra.http.observing import Observing
from tremula.infra.http.server import HttpServer
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.infra.metrics import Metrics
from tremula.infra.process import Process, alone
from tremula.infra.ratelimit import RateLimiter
from tremula.infra.slots import Slots
from tremula.infra.supervisor import Supervisor, Work
from tremula.protocol.identifiers import ServerName, UserId
from tremula.rooms.access import RoomAccess
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.member_changes import MemberChanges
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import OutsideRooms
from tremula.rooms.past import RoomPast
from tremula.rooms.places import Places
from tremula.rooms.reader import RoomReader
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import OwnServer
from tremula.rooms.rooms import Rooms
from tremula.rooms.serialize import Serializer
from tremula.rooms.sharing import SharedRooms
from tremula.rooms.txns import SentTxns
from tremula.rooms.unsent import UnsentEvents
from tremula.rooms.verification import EventVerifier
from tremula.rooms.visibility import Visibility
from tremula.rooms.woken_users import WokenUsers

UNSTABLE_FEATURES: Final = {
    "io.element.msc4388": True,
    "org.matrix.msc3814": True,
    "org.matrix.msc4108": True,
    "org.matrix.msc4222": True,
    "uk.tcpip.msc4133.stable": True,
}


class Tremula(Struct, frozen=True, kw_only=True):
    """A running server without its listeners.

    `accounts`, `registration_tokens` and `own_keys` are for the command line.
    """

    config: Config
    process: Process
    database: Database
    journal: Journal
    application: Application
    supervisor: Supervisor
    accounts: Accounts
    registration_tokens: RegistrationTokens
    own_keys: OwnKeys

    def http_server(self) -> HttpServer:
        """The listeners of this server, not yet listening."""
        return HttpServer(self.application)


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    clock: Clock | None = None,
    transport: FederationTransport | None = None,
) -> AsyncIterator[Tremula]:
    """Open the database and start everything but the listeners; close it at the end.

    Other servers are reached by *transport*, over HTTPS unless it is given.

    Raises:
        DatabaseRefused: the database can't be opened, or not as it is.
    """
    metrics = Metrics()
    clock = clock or SystemClock()
    async with (
        _process(config, clock, metrics) as process,
        open_transport(config.outbound, clock) as over_https,
    ):
        await check_server_name(process.database, config.server_name)
        supervisor = Supervisor(metrics, waits=True)
        built = await _build(
            config, clock, process, metrics, supervisor, transport or over_https
        )
        try:
            await process.begin()
            supervisor.begin()
            yield built.app
        finally:
            await process.leave()
            process.journal.release_waiting()
            await supervisor.stop()
            await built.registry.stop()
            if not process.ended.is_set():
                await built.last_seen.flush()


def _process(
    config: Config, clock: Clock, metrics: Metrics
) -> AbstractAsyncContextManager[Process]:
    source = _source(config)
    if config.cluster.bus is None:
        return alone(source, metrics)
    assert isinstance(source, PostgresUrl), "the configuration is checked"
    # A process alone loads nothing of it.
    from tremula.infra.cluster.process import one_of_several  # noqa: PLC0415
    from tremula.topics import all_topics  # noqa: PLC0415

    return one_of_several(
        source,
        config.cluster,
        config.server_name,
        topics=all_topics(),
        clock=clock,
        metrics=metrics,
    )


class _Built(Struct, frozen=True):
    """The server, and what has to be ended with it."""

    app: Tremula
    last_seen: LastSeen
    registry: RoomRegistry


class _Base(Struct, frozen=True, kw_only=True):
    """What everything leans on."""

    config: Config
    clock: Clock
    process: Process
    metrics: Metrics
    supervisor: Supervisor
    router: Router
    limiter: RateLimiter
    own: OwnServer
    federation: FederationClient
    key_ring: KeyRing

    @property
    def database(self) -> Database:
        return self.process.database

    @property
    def journal(self) -> Journal:
        return self.process.journal

    @property
    def slots(self) -> Slots:
        return self.process.slots

    @property
    def server_name(self) -> ServerName:
        return self.own.name

    def run_with_slots(self, name: str, work: Work) -> None:
        """Run *work* at the start, and whenever slots come from other processes."""
        self.supervisor.keep_running(name, work)
        self.slots.on_taken(lambda _: self.supervisor.keep_running(name, work))


class _Engine(Struct, frozen=True, kw_only=True):
    """The room engine."""

    rooms: Rooms
    reader: RoomReader
    events: EventStore
    memberships: Memberships
    visibility: Visibility
    serializer: Serializer
    erasures: Erasures
    access: RoomAccess
    places: Places
    verifier: EventVerifier
    past: RoomPast
    outside: OutsideRooms
    unsent: UnsentEvents
    shared: SharedRooms


class _People(Struct, frozen=True, kw_only=True):
    """Accounts, and what belongs to users."""

    accounts: Accounts
    tokens: RegistrationTokens
    sessions: Sessions
    last_seen: LastSeen
    profiles: Profiles
    account_data: AccountData
    filters: Filters
    presence: Presence
    audience: Audience
    device_lists: DeviceLists


class _Encryption(Struct, frozen=True, kw_only=True):
    """The server's part in end-to-end encryption."""

    one_time_keys: OneTimeKeys
    signatures: Signatures
    to_device: ToDevice
    remote_lists: RemoteLists


class _Outbound(Struct, frozen=True, kw_only=True):
    """What goes to other servers."""

    queues: Queues
    durable_edus: DurableEdus


async def _build(
    config: Config,
    clock: Clock,
    process: Process,
    metrics: Metrics,
    supervisor: Supervisor,
    transport: FederationTransport,
) -> _Built:
    database = process.database
    own_keys = await open_own_keys(database, clock, config.server_name)
    own = OwnServer(config.server_name, own_keys.current)
    federation = FederationClient(_peers(config), own.key, transport)
    base = _Base(
        config=config,
        clock=clock,
        process=process,
        metrics=metrics,
        supervisor=supervisor,
        router=Router(),
        limiter=RateLimiter(config.rate_limits, clock),
        own=own,
        federation=federation,
        key_ring=KeyRing(
            database,
            own_keys,
            KeyFetcher(federation, clock),
            clock,
            config.federation.notaries,
        ),
    )
    engine = await _build_engine(base)
    outbound = _build_outbound(base, engine)
    remote = _build_handshakes(base, engine)
    people = _build_people(base, engine, remote)
    _add_rooms(base, engine, people, remote)
    encryption = _build_encryption(base, engine, people, outbound)
    _add_sync(base, engine, people, outbound, encryption)
    _add_service_endpoints(base)
    _serve_other_servers(base, engine, own_keys)
    application = Application(
        router=base.router,
        authenticator=people.sessions,
        limiter=base.limiter,
        metrics=metrics,
        servers=_authentication(base, outbound.queues),
        catch_up=process.catch_up,
    )
    _watch_shutdown(base, application.shutting_down)
    app = Tremula(
        config=config,
        process=process,
        database=database,
        journal=base.journal,
        application=application,
        supervisor=supervisor,
        accounts=people.accounts,
        registration_tokens=people.tokens,
        own_keys=own_keys,
    )
    return _Built(app, people.last_seen, engine.reader.registry)


def _watch_shutdown(base: _Base, shutting_down: asyncio.Event) -> None:
    def is_ready() -> bool:
        return base.process.is_ready and not shutting_down.is_set()

    base.router.add(observing, Observing(base.metrics, is_ready))

    async def release_long_polls() -> None:
        await shutting_down.wait()
        base.journal.release_waiting()

    base.supervisor.run_once("release_long_polls", release_long_polls)


async def _build_engine(base: _Base) -> _Engine:
    memberships = Memberships(base.database, base.journal)
    if base.config.cluster.bus is not None:
        base.journal.set_audience(WokenUsers(memberships).of)
    registry = RoomRegistry(
        base.database,
        base.journal,
        base.slots,
        base.own,
        memberships,
        Outbox(base.clock),
        state_entries_max=base.config.caches.state_entries_max,
    )
    caches = base.metrics.caches
    caches.count("room_state", lambda: registry.state_entries)
    caches.count("user_memberships", lambda: len(memberships.loaded_users))
    events = EventStore(base.database, _events_cache(base))
    reader = RoomReader(base.database, registry, events)
    visibility = Visibility(base.database, events)
    erasures = await Erasures.open(base.database, base.journal, visibility)
    return _Engine(
        rooms=Rooms(
            registry=registry,
            events=events,
            journal=base.journal,
            slots=base.slots,
            txns=SentTxns(base.database),
            clock=base.clock,
            peers=RemoteEvents(base.federation, EventVerifier(base.key_ring)),
        ),
        reader=reader,
        events=events,
        memberships=memberships,
        visibility=visibility,
        serializer=Serializer(events, erasures, base.clock),
        erasures=erasures,
        access=RoomAccess(reader, memberships, visibility),
        places=Places(base.database),
        verifier=EventVerifier(base.key_ring),
        past=RoomPast(base.database),
        outside=OutsideRooms(base.database, base.journal, memberships),
        unsent=UnsentEvents(registry, base.slots, base.clock),
        shared=SharedRooms(base.server_name, base.database, reader, memberships),
    )


def _events_cache(base: _Base) -> ByteLRU[int, StoredEvent]:
    cache: ByteLRU[int, StoredEvent] = ByteLRU(base.config.caches.events_bytes)
    base.metrics.caches.watch("events", cache)
    return cache


def _build_handshakes(base: _Base, engine: _Engine) -> RemoteMemberships:
    rooms, reader, verifier = engine.rooms, engine.reader, engine.verifier
    own, unsent = base.own, engine.unsent
    told_state = ToldState(base.database, verifier)
    handshakes = Handshakes(base.federation, own.key, base.clock)
    inviting = OutgoingInvitations(
        rooms, unsent, handshakes, base.key_ring, told_state, own.name
    )
    resident = Resident(
        Intake(rooms),
        reader,
        unsent,
        verifier,
        RestrictedJoins(reader, own.name),
        JoinAnswers(engine.past, told_state),
        own,
    )
    base.router.add(handshakes_routes, resident)
    base.router.add(exchange_routes, ThirdPartyInvites(resident, inviting))
    completion = StateCompletion(rooms, reader, base.supervisor, base.slots, own.name)
    base.run_with_slots("resume_partial_joins", completion.resume)
    return RemoteMemberships(
        RemoteJoins(handshakes, rooms, reader, verifier, completion, own.name),
        OutsideWishes(handshakes, engine.outside, told_state),
        inviting,
        engine.outside,
        reader,
        own.name,
    )


def _build_profiles(base: _Base) -> Profiles:
    profiles = Profiles(
        base.database,
        base.journal,
        RemoteProfiles(base.federation, base.clock),
        base.server_name,
    )
    base.metrics.caches.watch("profiles", profiles.cache)
    base.router.add(profiles_routes, profiles)
    base.router.add(profiles_federation, profiles)
    return profiles


def _build_account_data(base: _Base, engine: _Engine) -> AccountData:
    push_rules = PushRules()
    base.router.add(push_routes, push_rules)
    account_data = AccountData(
        db=base.database,
        journal=base.journal,
        reader=engine.reader,
        memberships=engine.memberships,
        push_rules=push_rules.content,
    )
    base.router.add(account_data_routes, account_data)
    base.router.add(tag_routes, Tags(account_data))
    return account_data


def _build_people(base: _Base, engine: _Engine, remote: RemoteMemberships) -> _People:
    db, journal, clock = base.database, base.journal, base.clock
    profiles = _build_profiles(base)
    propagation = ProfilePropagation(
        db=db,
        journal=journal,
        profiles=profiles,
        memberships=engine.memberships,
        rooms=engine.rooms,
        reader=engine.reader,
        slots=base.slots,
    )
    base.supervisor.keep_running("profile_propagation", propagation.run)
    account_data = _build_account_data(base, engine)
    filters = Filters(db, clock)
    base.metrics.caches.watch("filters", filters.cache)
    base.router.add(filters_routes, filters)
    audience = Audience(engine.reader, engine.memberships)
    presence = Presence(
        db=db,
        journal=journal,
        audience=audience,
        clock=clock,
        enabled=base.config.presence.enabled,
    )
    base.router.add(presence_routes, presence)
    base.supervisor.keep_running("presence", presence.run)
    device_lists = DeviceLists(
        db, base.server_name, engine.memberships, note_own_change
    )
    key_backup = KeyBackup(db)
    base.router.add(key_backup_routes, key_backup)
    accounts, sessions, last_seen, tokens = _build_accounts(
        base,
        engine,
        remote,
        profiles,
        on_erased=(
            profiles.erase,
            account_data.erase,
            filters.erase,
            presence.erase,
            KeyErasure(journal, device_lists).erase,
            key_backup.erase,
        ),
    )
    return _People(
        accounts=accounts,
        tokens=tokens,
        sessions=sessions,
        last_seen=last_seen,
        profiles=profiles,
        account_data=account_data,
        filters=filters,
        presence=presence,
        audience=audience,
        device_lists=device_lists,
    )


def _build_outbound(base: _Base, engine: _Engine) -> _Outbound:
    metrics = QueueMetrics.registered(base.metrics.registry)
    queues = Queues(
        database=base.database,
        clock=base.clock,
        peers=base.federation.peers,
        sender=Sender(
            base.database,
            base.clock,
            base.federation,
            OutboxPdus(engine.reader, engine.events),
            metrics,
            base.slots,
            lambda: base.journal.position,
        ),
        slots=base.slots,
        metrics=metrics,
    )
    base.journal.subscribe(DURABLE_EDUS_TOPIC, queues.durable_edu_stored)
    events = OutboundEvents(own=base.server_name, journal=base.journal, queues=queues)
    base.supervisor.keep_running("federation_queues", queues.run)
    base.supervisor.keep_running("outbound_events", events.run)
    return _Outbound(
        queues=queues,
        durable_edus=DurableEdus(base.federation.peers, base.clock),
    )


def _authentication(base: _Base, queues: Queues) -> RequestAuthentication:
    heard = HeardServers(base.journal, base.slots, base.clock, queues)
    return RequestAuthentication(
        base.federation.peers, base.key_ring, base.clock, heard.heard_from
    )


def _take_transactions(
    base: _Base,
    engine: _Engine,
    people: _People,
    encryption: _Encryption,
    receipts: Receipts,
    typing: Typing,
) -> None:
    reader, clock = engine.reader, base.clock
    metrics = InboundMetrics.registered(base.metrics.registry)
    handlers: dict[str, EduHandler] = {
        "m.typing": TypingEdus(typing, reader),
        "m.receipt": ReceiptEdus(receipts, reader, clock),
        "m.presence": PresenceEdus(people.presence, reader, base.journal, clock),
        TO_DEVICE_EDU: ToDeviceEdus(encryption.to_device),
        LIST_UPDATE: DeviceListEdus(encryption.remote_lists),
        SIGNING_KEY_UPDATE: SigningKeyEdus(encryption.remote_lists),
    }
    invitations = Invitations(
        reader,
        engine.outside,
        engine.verifier,
        ToldState(base.database, engine.verifier),
        InvitePolicy(
            people.accounts.users.is_active,
            InvitePermission(people.account_data).is_blocked,
        ),
        base.own,
    )
    base.router.add(invite_routes, invitations)
    pdus = InboundPdus(
        base.server_name,
        reader,
        engine.verifier,
        engine.rooms,
        invitations.withdraw,
        metrics,
    )
    base.router.add(
        federation_transactions_routes,
        Transactions(pdus, InboundEdus(handlers, metrics), base.slots),
    )


def _send_edus(
    base: _Base,
    engine: _Engine,
    people: _People,
    outbound: _Outbound,
    typing: Typing,
) -> None:
    own, journal, clock = base.server_name, base.journal, base.clock
    typing.listen(TypingSender(own, outbound.queues, clock).tell)
    receipts = ReceiptSender(
        own=own,
        journal=journal,
        reader=engine.reader,
        queues=outbound.queues,
        clock=clock,
    )
    base.supervisor.keep_running("receipt_edus", receipts.run)
    presence = PresenceSender(
        own=own,
        journal=journal,
        presence=people.presence,
        audience=people.audience,
        queues=outbound.queues,
        clock=clock,
    )
    base.supervisor.keep_running("presence_edus", presence.run)


def _build_accounts(
    base: _Base,
    engine: _Engine,
    remote: RemoteMemberships,
    profiles: Profiles,
    on_erased: tuple[UserHook, ...],
) -> tuple[Accounts, Sessions, LastSeen, RegistrationTokens]:
    config, db, journal, clock = base.config, base.database, base.journal, base.clock
    users = Users(db, journal, Passwords(config.password_hashing), base.server_name)
    last_seen = LastSeen(journal)
    base.supervisor.keep_running("last_seen", last_seen.run)
    sessions = Sessions(
        db=db,
        journal=journal,
        clock=clock,
        users=users,
        lifetimes=config.tokens,
        on_sighting=last_seen.record,
    )
    base.router.add(sessions_routes, sessions)
    tokens = RegistrationTokens(db, journal, clock)
    uia = Uia(
        db,
        journal,
        clock,
        {
            Stage.PASSWORD: PasswordStage(users, base.limiter).check,
            Stage.DUMMY: check_dummy,
            Stage.REGISTRATION_TOKEN: tokens.check,
        },
    )
    base.supervisor.keep_running("uia_sweep", uia.run)
    devices = Devices(db, journal, clock, sessions, uia)
    base.router.add(devices_routes, devices)
    _evict_guests(base, engine, users)
    departure = Departure(engine.rooms, engine.memberships, remote)
    accounts = Accounts(
        journal,
        clock,
        users,
        devices,
        sessions,
        uia,
        AccountHooks(
            on_registered=profiles.create,
            on_erasing=engine.erasures.add,
            on_deactivated=(departure.leave_all,),
            on_erased=on_erased,
        ),
    )
    base.router.add(account_routes, accounts)
    login_tokens = LoginTokens(journal, clock, devices)
    base.router.add(login_routes, Logins(journal, users, devices, login_tokens))
    finish = partial(accounts.finish_departures, base.slots)
    base.run_with_slots("finish_departures", finish)
    _add_registration(base, accounts, tokens)
    _add_openid(base, users)
    return accounts, sessions, last_seen, tokens


def _add_openid(base: _Base, users: Users) -> None:
    tokens = OpenIdTokens(
        base.database, base.journal, base.clock, users, base.server_name
    )
    base.router.add(openid_routes, tokens)
    base.router.add(openid_federation, tokens)


def _add_registration(
    base: _Base, accounts: Accounts, tokens: RegistrationTokens
) -> None:
    registrations = Registrations(
        base.journal,
        base.clock,
        accounts,
        accounts.devices,
        accounts.uia,
        tokens,
        base.config.registration,
    )
    base.router.add(registration_routes, registrations)
    shared_secret = SharedSecretRegistration(
        journal=base.journal,
        clock=base.clock,
        accounts=accounts,
        devices=accounts.devices,
        shared_secret=base.config.registration.shared_secret,
    )
    base.router.add(shared_secret_routes, shared_secret)


def _evict_guests(base: _Base, engine: _Engine, users: Users) -> None:
    evictions = GuestEviction(
        journal=base.journal,
        rooms=engine.rooms,
        reader=engine.reader,
        guests_among=users.guests_among,
        server_name=base.server_name,
        slots=base.slots,
        clock=base.clock,
    )
    base.supervisor.keep_running("guest_eviction", evictions.run)


def _build_directory(base: _Base, engine: _Engine) -> Directory:
    directory = Directory(
        base.database,
        base.journal,
        engine.rooms,
        engine.reader,
        PublishedRooms(base.database, base.journal, engine.reader),
        RemoteDirectory(base.federation),
        base.server_name,
    )
    base.router.add(directory_routes, directory)
    base.router.add(directory_federation, directory)
    return directory


def _build_history(base: _Base, engine: _Engine) -> History:
    gaps = GapFilling(engine.past, engine.rooms, base.server_name)
    times = RemoteEvents(base.federation, engine.verifier)
    return History(
        engine.access,
        engine.events,
        engine.serializer,
        engine.places,
        gaps,
        Elsewhere(times, gaps),
    )


def _add_spaces(base: _Base, engine: _Engine, directory: Directory) -> None:
    rooms = OwnRooms(engine.reader, base.server_name)
    lookup = Lookup(rooms, RemoteSpaces(base.federation, base.clock))
    onlookers = UserOnlookers(engine.memberships, engine.outside)
    base.router.add(spaces_routes, Spaces(lookup, onlookers, base.clock))
    base.router.add(spaces_federation, SpacesForServers(rooms))
    summaries = RoomSummaries(lookup, onlookers, directory, base.clock)
    base.router.add(summary_routes, summaries)


def _add_rooms(
    base: _Base, engine: _Engine, people: _People, remote: RemoteMemberships
) -> None:
    rooms, reader, events = engine.rooms, engine.reader, engine.events
    member_fields = people.profiles.member_fields
    directory = _build_directory(base, engine)
    invite_permission = InvitePermission(people.account_data)
    membership = Membership(
        rooms,
        reader,
        engine.memberships,
        directory,
        invite_permission,
        member_fields,
        remote,
    )
    base.router.add(membership_routes, membership)
    messages = Messages(rooms, reader, events, membership, directory, base.server_name)
    base.router.add(messages_routes, messages)
    creation = RoomCreation(
        rooms,
        directory,
        membership,
        base.server_name,
        base.config.default_room_version,
    )
    base.router.add(room_creation_routes, creation)
    state = RoomState(engine.access, events, engine.serializer, engine.places)
    base.router.add(room_state_routes, state)
    history = _build_history(base, engine)
    base.router.add(history_routes, history)
    previews = RoomPreviews(
        engine.access, state, history, directory, people.account_data
    )
    base.router.add(room_previews_routes, previews)
    _add_spaces(base, engine, directory)
    settings = PersonalSettings(
        journal=base.journal,
        reader=reader,
        events=events,
        account_data=people.account_data,
        slots=base.slots,
        clock=base.clock,
    )
    base.supervisor.keep_running("personal_settings", settings.run)
    upgrades = RoomUpgrades(rooms, reader, events, directory, member_fields, settings)
    base.router.add(room_upgrades_routes, upgrades)


def _build_encryption(
    base: _Base, engine: _Engine, people: _People, outbound: _Outbound
) -> _Encryption:
    one_time_keys = OneTimeKeys(base.database, base.journal)
    people.accounts.devices.observe(one_time_keys)
    claims = KeyClaims(base.server_name, one_time_keys, base.federation)
    base.router.add(one_time_keys_routes, claims)
    accounts = people.accounts
    published = PublishedKeys(
        base.database, base.journal, accounts.devices, accounts.users
    )
    base.metrics.caches.watch("device_keys", published.cache)
    fetcher, remote_lists = _build_remote_lists(base, engine, people)
    remote = RemoteDeviceKeys(
        base.database,
        base.journal,
        engine.shared,
        fetcher,
        AskedServers(base.federation),
    )
    keys = _add_device_keys(base, people, one_time_keys, published, remote)
    _tell_of_devices(base, engine, outbound, published)
    to_device = ToDevice(
        base.database,
        base.journal,
        base.clock,
        base.server_name,
        outbound.durable_edus,
    )
    people.accounts.devices.observe(to_device)
    base.router.add(to_device_routes, to_device)
    base.supervisor.keep_running("to_device_sweep", to_device.run)
    dehydrated = DehydratedDevices(
        base.database, base.journal, accounts.devices, keys.uploads, to_device
    )
    accounts.devices.observe(dehydrated)
    base.router.add(dehydrated_devices_routes, dehydrated)
    return _Encryption(
        one_time_keys=one_time_keys,
        signatures=keys.signatures,
        to_device=to_device,
        remote_lists=remote_lists,
    )


def _build_remote_lists(
    base: _Base, engine: _Engine, people: _People
) -> tuple[ListFetcher, RemoteLists]:
    db, journal, clock = base.database, base.journal, base.clock
    shared, lists = engine.shared, people.device_lists
    changing: KeyedLocks[UserId] = KeyedLocks()
    fetcher = ListFetcher(
        db=db,
        journal=journal,
        clock=clock,
        client=base.federation,
        shared=shared,
        supervisor=base.supervisor,
        changing=changing,
    )
    resync = Resync(
        db=db,
        journal=journal,
        clock=clock,
        shared=shared,
        lists=lists,
        fetcher=fetcher,
        slots=base.slots,
    )
    base.supervisor.keep_running("device_list_resync", resync.run)
    return fetcher, RemoteLists(db, journal, clock, shared, lists, resync, changing)


def _tell_of_devices(
    base: _Base, engine: _Engine, outbound: _Outbound, published: PublishedKeys
) -> None:
    sender = DeviceListSender(
        own=base.server_name,
        db=base.database,
        journal=base.journal,
        shared=engine.shared,
        published=published,
        edus=outbound.durable_edus,
        slots=base.slots,
    )
    base.supervisor.keep_running("device_list_edus", sender.run)
    introducer = DeviceListIntroducer(
        journal=base.journal,
        events=engine.events,
        shared=engine.shared,
        published=published,
        edus=outbound.durable_edus,
        slots=base.slots,
        clock=base.clock,
    )
    base.supervisor.keep_running("device_list_introductions", introducer.run)
    base.router.add(
        device_keys_federation, KeysForServers(published, sender, base.server_name)
    )


def _add_device_keys(
    base: _Base,
    people: _People,
    one_time_keys: OneTimeKeys,
    published: PublishedKeys,
    remote: RemoteDevices,
) -> KeysEdge:
    db, journal, own = base.database, base.journal, base.server_name
    lists, accounts = people.device_lists, people.accounts
    # One change of a user's keys at a time.
    changing: KeyedLocks[UserId] = KeyedLocks()
    uploads = DeviceKeyUploads(db, journal, lists, one_time_keys, changing)
    accounts.devices.observe(uploads)
    signatures = Signatures(db, journal, lists, published, remote, changing, own)
    edge = KeysEdge(
        uploads,
        KeyQueries(db, published, remote, own),
        CrossSigning(db, journal, lists, accounts.uia, changing),
        signatures,
    )
    base.router.add(device_keys_routes, edge)
    return edge


def _device_inbox(base: _Base) -> DeviceInbox:
    inbox = DeviceInbox(base.database, base.journal)
    base.metrics.caches.watch("to_device", inbox.cache)
    return inbox


def _key_status(base: _Base, encryption: _Encryption) -> KeyStatus:
    status = KeyStatus(encryption.one_time_keys, base.journal)
    base.metrics.caches.watch("one_time_keys", status.cache)
    return status


def _add_sync(
    base: _Base,
    engine: _Engine,
    people: _People,
    outbound: _Outbound,
    encryption: _Encryption,
) -> None:
    db, journal = base.database, base.journal
    receipts = Receipts(
        db, journal, engine.reader, engine.events, people.account_data, base.clock
    )
    base.router.add(receipts_routes, receipts)
    typing = _add_typing(base, engine)
    lazy_members = LazyMembers(journal)
    entries = RoomEntries(
        Timelines(journal, engine.events, engine.visibility),
        StateSections(engine.reader, engine.events, lazy_members),
        Summaries(),
        EventShapes(engine.serializer),
        engine.visibility,
        SharedEntries(lazy_members),
    )
    room_account_data = RoomAccountDataPart(db, journal)
    room_parts = (
        room_account_data,
        ReceiptsPart(db, journal),
        TypingPart(journal, typing),
    )
    user_parts = (
        GlobalAccountDataPart(db, journal, people.account_data),
        PresencePart(
            journal, people.presence, people.profiles, people.audience, engine.reader
        ),
        _add_device_lists(base, engine, encryption.signatures),
    )
    sync = Sync(
        journal,
        RoomsSection(
            journal,
            engine.memberships,
            people.account_data,
            JoinedRooms(journal, engine.reader, entries, room_parts),
            InvitedRooms(
                engine.reader,
                engine.events,
                engine.outside,
                InvitePermission(people.account_data),
            ),
            LeftRooms(engine.reader, engine.outside, entries, room_account_data),
            lazy_members,
        ),
        user_parts,
        _device_inbox(base),
        _key_status(base, encryption),
        base.clock,
    )
    base.router.add(sync_routes, SyncEdge(sync, people.filters, people.presence))
    _take_transactions(base, engine, people, encryption, receipts, typing)
    _send_edus(base, engine, people, outbound, typing)


def _add_typing(base: _Base, engine: _Engine) -> Typing:
    typing = Typing(base.database, engine.reader, base.journal, base.clock)
    base.router.add(typing_routes, typing)
    base.supervisor.keep_running("typing", typing.run)
    return typing


def _add_device_lists(
    base: _Base, engine: _Engine, signatures: Signatures
) -> DeviceListsPart:
    company = Company(
        base.journal,
        engine.memberships,
        engine.reader,
        engine.shared,
        MemberChanges(base.database, engine.events),
    )
    part = DeviceListsPart(base.database, base.journal, company, signatures)
    base.router.add(device_lists_routes, part)
    return part


def _serve_other_servers(base: _Base, engine: _Engine, own_keys: OwnKeys) -> None:
    notary = Notary(base.database, own_keys, base.key_ring, base.clock)
    base.router.add(server_keys_routes, notary)
    serving = EventsForServers(
        engine.reader,
        engine.past,
        engine.events,
        engine.visibility,
        engine.erasures,
        base.clock,
        base.server_name,
    )
    base.router.add(federation_events_routes, serving)


def _add_service_endpoints(base: _Base) -> None:
    config = base.config
    base.router.add(
        capabilities_routes,
        Capabilities(
            default_room_version=config.default_room_version,
            unstable_features=UNSTABLE_FEATURES,
        ),
    )
    base.router.add(
        wellknown_routes, WellKnown(config.public_base_url, config.federation.delegate)
    )
    rendezvous = Rendezvous(base.database, base.clock)
    base_url = config.public_base_url or f"https://{config.server_name}"
    base.router.add(rendezvous_routes, TextRendezvous(rendezvous, base_url))
    base.router.add(json_rendezvous_routes, rendezvous)


def _peers(config: Config) -> Peers:
    return Peers.of(
        config.server_name,
        enabled=config.federation.enabled,
        allowed=config.federation.allowed_servers,
        denied=config.federation.denied_servers,
    )


def _source(config: Config) -> SqliteFile | PostgresUrl:
    if isinstance(config.database, SqliteFile):
        return SqliteFile(config.data_dir / config.database.path)
    return config.database
