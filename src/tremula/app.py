"""The composition root: opens a server, and has its services built.

`_build` says in which order; each part of it is a module of `assembly/`. Nothing else
builds services.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from msgspec import Struct

from tremula.assembly.appservice_news import add_appservice_news
from tremula.assembly.appservices import build_token_owners, open_appservices
from tremula.assembly.base import Base
from tremula.assembly.bridges import add_bridges
from tremula.assembly.calls import add_calls
from tremula.assembly.encryption import build_encryption
from tremula.assembly.engine import build_engine
from tremula.assembly.federation import (
    authentication,
    build_handshakes,
    build_outbound,
    serve_other_servers,
)
from tremula.assembly.hungry_rooms import add_hungry_rooms
from tremula.assembly.media import Files, add_media, open_media
from tremula.assembly.moderation import Moderation, add_moderation
from tremula.assembly.old_syncing import add_old_sync
from tremula.assembly.people import build_people
from tremula.assembly.pushers import add_pushers
from tremula.assembly.rooms import add_rooms
from tremula.assembly.searching import add_searching
from tremula.assembly.syncing import add_sync
from tremula.features.account.service import Accounts
from tremula.features.account_moderation.restrictions import RESTRICTIONS
from tremula.features.appservice_administration.service import (
    AppserviceAdministration,
)
from tremula.features.appservice_transactions.backlog import Backlog
from tremula.features.appservices.service import Appservices
from tremula.features.blocked_rooms.service import BlockedRooms
from tremula.features.capabilities import routes as capabilities_routes
from tremula.features.capabilities.service import Capabilities
from tremula.features.delayed_events.service import (
    capability as delayed_events_capability,
)
from tremula.features.devices.last_seen import LastSeen
from tremula.features.media.care import MediaCare
from tremula.features.registration.tokens import RegistrationTokens
from tremula.features.rendezvous import json_routes as json_rendezvous_routes
from tremula.features.rendezvous import routes as rendezvous_routes
from tremula.features.rendezvous.routes import TextRendezvous
from tremula.features.rendezvous.service import Rendezvous
from tremula.features.server_keys.fetching import KeyFetcher
from tremula.features.server_keys.key_ring import KeyRing
from tremula.features.server_keys.service import OwnKeys, open_own_keys
from tremula.features.to_device.sync import DeviceInbox
from tremula.features.voip.service import livekit_transports
from tremula.features.wellknown import routes as wellknown_routes
from tremula.features.wellknown.service import WellKnown
from tremula.infra.clock import Clock, SystemClock
from tremula.infra.config import Config, PostgresUrl, SqliteFile
from tremula.infra.db import Database
from tremula.infra.db.migrations import check_server_name
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.opening import open_transport
from tremula.infra.federation.peers import Peers
from tremula.infra.federation.transport import FederationTransport
from tremula.infra.http import Router, observing
from tremula.infra.http.application import Application
from tremula.infra.http.observing import Observing
from tremula.infra.http.server import HttpServer
from tremula.infra.journal import Journal
from tremula.infra.mail import Mailer
from tremula.infra.metrics import Metrics
from tremula.infra.outbound.appservices import AppserviceHttp
from tremula.infra.outbound.opening import open_anywhere
from tremula.infra.outbound.web import Web
from tremula.infra.process import Process, alone
from tremula.infra.ratelimit import RateLimiter
from tremula.infra.supervisor import Supervisor
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import OwnServer

UNSTABLE_FEATURES: Final = {
    "com.beeper.account_data_mute": True,
    "com.beeper.arbitrary_member_change": True,
    "com.beeper.arbitrary_profile_meta": True,
    "com.beeper.batch_sending": True,
    "com.beeper.hungry": True,
    "com.beeper.inbox_state": True,
    "com.beeper.msc4169": True,
    "com.beeper.msc4437": True,
    "com.beeper.msc4437.stable": True,
    "com.beeper.msc4446": True,
    "com.beeper.room_create_autojoin_invites": True,
    "com.beeper.room_yeeting": True,
    "fi.mau.msc2246.stable": True,
    "io.element.msc4388": True,
    # COMPAT(Element Web, 1.11.84): in the specification since v1.1, but only
    # where it is named here does a new account get keys for cross-signing.
    "org.matrix.e2e_cross_signing": True,
    "org.matrix.msc3266": True,
    "org.matrix.msc3814": True,
    "org.matrix.msc3881": True,
    "org.matrix.msc3916.stable": True,
    "org.matrix.msc4108": True,
    "org.matrix.msc4140": True,
    "org.matrix.msc4140.stable": True,
    "org.matrix.msc4143": True,
    "org.matrix.msc4222": True,
    "org.matrix.msc4306": True,
    "org.matrix.msc4308": True,
    "org.matrix.simplified_msc3575": True,
    "uk.tcpip.msc4133.stable": True,
}


class Tremula(Struct, frozen=True, kw_only=True):
    """A running server without its listeners.

    `accounts`, `appservice_administration`, `registration_tokens`, `own_keys` and
    `moderation` are for the command line.
    """

    config: Config
    process: Process
    database: Database
    journal: Journal
    application: Application
    supervisor: Supervisor
    accounts: Accounts
    appservices: Appservices
    backlog: Backlog
    appservice_administration: AppserviceAdministration
    registration_tokens: RegistrationTokens
    own_keys: OwnKeys
    moderation: Moderation
    media: MediaCare

    def http_server(self) -> HttpServer:
        """The listeners of this server, not yet listening."""
        return HttpServer(self.application)


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    clock: Clock | None = None,
    transport: FederationTransport | None = None,
    web: Web | None = None,
) -> AsyncIterator[Tremula]:
    """Open the database and start everything but the listeners; close it at the end.

    Other servers are reached by *transport*, and what is no homeserver by *web*; over
    HTTPS unless they are given.

    Raises:
        DatabaseRefused: the database can't be opened, or not as it is.
    """
    metrics = Metrics()
    clock = clock or _clock(config)
    async with (
        _process(config, clock, metrics) as process,
        open_transport(config.outbound, clock, metrics.caches) as over_https,
        open_anywhere(config.outbound) as anywhere,
        open_media(config) as files,
    ):
        await check_server_name(process.database, config.server_name)
        supervisor = Supervisor(metrics, waits=True)
        to_web = web or over_https.http
        appservice_http = AppserviceHttp(web or anywhere, to_web)
        outside = _Outside(transport or over_https, to_web, appservice_http, files)
        built = await _build(config, clock, process, metrics, supervisor, outside)
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
                await built.last_seen.close()
                await built.inbox.close()


def _clock(config: Config) -> Clock:
    if config.cluster.bus is None:
        return SystemClock()
    from tremula.infra.cluster.cluster_clock import ClusterClock  # noqa: PLC0415

    return ClusterClock()


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


class _Outside(Struct, frozen=True):
    """What the server reaches beside its database."""

    transport: FederationTransport
    web: Web
    appservice_http: AppserviceHttp
    files: Files


class _Built(Struct, frozen=True):
    """The server, and what has to be ended with it."""

    app: Tremula
    last_seen: LastSeen
    inbox: DeviceInbox
    registry: RoomRegistry


async def _build(
    config: Config,
    clock: Clock,
    process: Process,
    metrics: Metrics,
    supervisor: Supervisor,
    outside: _Outside,
) -> _Built:
    database = process.database
    own_keys = await open_own_keys(database, clock, config.server_name)
    base = await _base(config, clock, process, metrics, supervisor, outside, own_keys)
    engine = await build_engine(base)
    outbound = build_outbound(base, engine)
    remote = build_handshakes(base, engine)
    people = build_people(base, engine, remote)
    rooms = add_rooms(base, engine, people, remote)
    bridges = add_bridges(base, engine, people, rooms.directory)
    transactions = bridges.transactions
    search = add_searching(base, engine, people)
    moderation = add_moderation(base, engine, people, rooms.directory, search)
    encryption = build_encryption(base, engine, people, outbound)
    syncing = add_sync(base, engine, people, outbound, encryption)
    add_appservice_news(base, engine, people, encryption, syncing, transactions)
    add_old_sync(base, engine, rooms, syncing.sync)
    add_pushers(base, engine, people, syncing.reading)
    receipts, deletions = syncing.reading.receipts, moderation.rooms.deletions
    add_hungry_rooms(base, engine, rooms.creation, receipts, deletions)
    media = add_media(base, outside.files)
    add_calls(base)
    _add_service_endpoints(base)
    serve_other_servers(base, engine, own_keys)
    application = Application(
        router=base.router,
        authenticator=build_token_owners(base, people, transactions.deliveries),
        limiter=base.limiter,
        metrics=metrics,
        servers=authentication(base, outbound.queues),
        catch_up=process.catch_up,
        restrictions=RESTRICTIONS,
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
        appservices=base.appservices,
        backlog=transactions.backlog,
        appservice_administration=bridges.administration,
        registration_tokens=people.tokens,
        own_keys=own_keys,
        moderation=moderation,
        media=media,
    )
    return _Built(app, people.last_seen, syncing.inbox, engine.reader.registry)


async def _base(
    config: Config,
    clock: Clock,
    process: Process,
    metrics: Metrics,
    supervisor: Supervisor,
    outside: _Outside,
    own_keys: OwnKeys,
) -> Base:
    own = OwnServer(config.server_name, own_keys.current)
    federation = FederationClient(_peers(config), own.key, outside.transport)
    key_ring = KeyRing(
        process.database,
        own_keys,
        KeyFetcher(federation, clock),
        clock,
        config.federation.notaries,
    )
    metrics.caches.watch("server_keys", key_ring.store.cache)
    blocked_rooms = BlockedRooms(process.database, process.journal, clock)
    metrics.caches.watch("blocked_rooms", blocked_rooms.cache)
    return Base(
        config=config,
        clock=clock,
        process=process,
        metrics=metrics,
        supervisor=supervisor,
        router=Router(),
        limiter=RateLimiter(config.rate_limits, clock),
        own=own,
        federation=federation,
        web=outside.web,
        appservice_http=outside.appservice_http,
        key_ring=key_ring,
        appservices=await open_appservices(config, process, metrics, supervisor),
        blocked_rooms=blocked_rooms,
        mailer=Mailer(config.mail, clock) if config.mail.host is not None else None,
    )


def _watch_shutdown(base: Base, shutting_down: asyncio.Event) -> None:
    def is_ready() -> bool:
        return base.process.is_ready and not shutting_down.is_set()

    base.router.add(observing, Observing(base.metrics, is_ready))

    async def release_long_polls() -> None:
        await shutting_down.wait()
        base.journal.release_waiting()

    base.supervisor.run_once("release_long_polls", release_long_polls)


def _add_service_endpoints(base: Base) -> None:
    config = base.config
    base.router.add(
        capabilities_routes,
        Capabilities(
            default_room_version=config.default_room_version,
            unstable_features=UNSTABLE_FEATURES,
            delayed_events=delayed_events_capability(config.delayed_events),
            changes_addresses=(
                config.mail.host is not None and config.third_party.users_may_change
            ),
            forgets_left_rooms=config.rooms.forget_left,
        ),
    )
    well_known = WellKnown(
        config.public_base_url,
        config.federation.delegate,
        livekit_transports(config.rtc.livekit_service_urls),
        config.support,
        config.federation.policy_server_key,
    )
    base.router.add(wellknown_routes, well_known)
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
