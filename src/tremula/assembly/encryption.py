"""Builds the server's part in end-to-end encryption."""

from tremula.assembly.base import Base, Encryption, Engine, Outbound, People
from tremula.features.dehydrated_devices import routes as dehydrated_devices_routes
from tremula.features.dehydrated_devices.service import DehydratedDevices
from tremula.features.device_keys import federation as device_keys_federation
from tremula.features.device_keys import routes as device_keys_routes
from tremula.features.device_keys.asking import AskedServers
from tremula.features.device_keys.cross_signing import CrossSigning
from tremula.features.device_keys.federation import KeysForServers
from tremula.features.device_keys.published import PublishedKeys
from tremula.features.device_keys.queries import KeyQueries, RemoteDevices
from tremula.features.device_keys.routes import KeysEdge
from tremula.features.device_keys.service import DeviceKeyUploads
from tremula.features.device_keys.signatures import Signatures
from tremula.features.one_time_keys import routes as one_time_keys_routes
from tremula.features.one_time_keys.claims import KeyClaims
from tremula.features.one_time_keys.service import OneTimeKeys
from tremula.features.remote_devices.federation import RemoteLists
from tremula.features.remote_devices.fetching import ListFetcher
from tremula.features.remote_devices.introducing import DeviceListIntroducer
from tremula.features.remote_devices.resync import Resync
from tremula.features.remote_devices.service import RemoteDeviceKeys
from tremula.features.remote_devices.telling import DeviceListSender
from tremula.features.to_device import routes as to_device_routes
from tremula.features.to_device.service import ToDevice
from tremula.infra.locks import KeyedLocks
from tremula.protocol.identifiers import UserId


def build_encryption(
    base: Base, engine: Engine, people: People, outbound: Outbound
) -> Encryption:
    """Keys, device lists and messages to devices."""
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
    people.accounts.devices.on_added(to_device.device_added)
    base.router.add(to_device_routes, to_device)
    base.supervisor.keep_running("to_device_sweep", to_device.run)
    dehydrated = DehydratedDevices(
        base.database, base.journal, accounts.devices, keys.uploads, to_device
    )
    accounts.devices.observe(dehydrated)
    accounts.devices.on_another(dehydrated.device_added)
    base.router.add(dehydrated_devices_routes, dehydrated)
    return Encryption(
        one_time_keys=one_time_keys,
        signatures=keys.signatures,
        to_device=to_device,
        remote_lists=remote_lists,
    )


def _build_remote_lists(
    base: Base, engine: Engine, people: People
) -> tuple[ListFetcher, RemoteLists]:
    db, journal, clock = base.database, base.journal, base.clock
    shared, lists = engine.shared, people.device_lists
    changing: KeyedLocks[UserId] = KeyedLocks()
    fetcher = ListFetcher(
        journal=journal,
        clock=clock,
        client=base.federation,
        shared=shared,
        lists=lists,
        supervisor=base.supervisor,
        changing=changing,
    )
    resync = Resync(
        db=db,
        journal=journal,
        clock=clock,
        shared=shared,
        fetcher=fetcher,
        slots=base.slots,
    )
    base.supervisor.keep_running("device_list_resync", resync.run)
    return fetcher, RemoteLists(db, journal, clock, shared, lists, resync, changing)


def _tell_of_devices(
    base: Base, engine: Engine, outbound: Outbound, published: PublishedKeys
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
    base: Base,
    people: People,
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
    accounts.devices.on_added(uploads.device_added)
    accounts.devices.on_renamed(uploads.device_renamed)
    signatures = Signatures(db, journal, lists, published, remote, changing, own)
    edge = KeysEdge(
        uploads,
        KeyQueries(db, published, remote, own),
        CrossSigning(db, journal, lists, accounts.uia, changing),
        signatures,
    )
    base.router.add(device_keys_routes, edge)
    return edge
