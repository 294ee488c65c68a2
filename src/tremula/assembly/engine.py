"""Builds the room engine."""

from tremula.assembly.base import Base, Engine
from tremula.features.federation_events.asking import RemoteEvents
from tremula.features.policy_servers.service import RemotePolicyServers
from tremula.infra.cache import ByteLRU
from tremula.infra.federation.outbox import Outbox
from tremula.rooms.access import RoomAccess
from tremula.rooms.aggregations import Aggregations
from tremula.rooms.batches import Batches
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import OutsideRooms
from tremula.rooms.past import RoomPast
from tremula.rooms.places import Places
from tremula.rooms.policing import Policing
from tremula.rooms.reader import RoomReader
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.rooms import Rooms
from tremula.rooms.serialize import Serializer
from tremula.rooms.sharing import SharedRooms
from tremula.rooms.unsent import UnsentEvents
from tremula.rooms.verification import EventVerifier
from tremula.rooms.visibility import Visibility
from tremula.rooms.wire import WirePdus
from tremula.rooms.woken_users import WokenUsers


async def build_engine(base: Base) -> Engine:
    """All that is in `rooms/`."""
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
    policy_servers = RemotePolicyServers(base.federation, base.clock)
    caches.watch("policy_servers_down", policy_servers.pauses)
    policing = Policing(policy_servers)
    return Engine(
        rooms=Rooms(
            registry=registry,
            events=events,
            journal=base.journal,
            slots=base.slots,
            clock=base.clock,
            peers=RemoteEvents(base.federation, EventVerifier(base.key_ring)),
            policing=policing,
        ),
        reader=reader,
        events=events,
        memberships=memberships,
        visibility=visibility,
        serializer=Serializer(
            events,
            erasures,
            base.clock,
            base.own,
            Aggregations(base.database, base.journal, events),
        ),
        erasures=erasures,
        access=RoomAccess(
            reader,
            memberships,
            visibility,
            forgets_left=base.config.rooms.forget_left,
        ),
        places=Places(base.database, base.journal),
        verifier=EventVerifier(base.key_ring),
        past=RoomPast(base.database, WirePdus(base.database, base.journal, base.own)),
        outside=OutsideRooms(base.database, base.journal, memberships),
        unsent=UnsentEvents(registry, base.slots, base.clock, policing),
        shared=SharedRooms(base.server_name, base.database, reader, memberships),
        batches=Batches(registry, base.journal, base.clock),
    )


def _events_cache(base: Base) -> ByteLRU[int, StoredEvent]:
    cache: ByteLRU[int, StoredEvent] = ByteLRU(base.config.caches.events_bytes)
    base.metrics.caches.watch("events", cache)
    return cache
