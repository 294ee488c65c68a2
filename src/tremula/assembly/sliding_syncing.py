"""Builds sliding sync of what `/sync` is made of, too."""

from msgspec import Struct

from tremula.assembly.base import Base, Engine, People
from tremula.features.account_data.sync import (
    GlobalAccountDataPart,
    RoomAccountDataPart,
)
from tremula.features.device_lists.sync import DeviceListsPart
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.one_time_keys.sync import KeyStatus
from tremula.features.receipts.sync import ReceiptsPart
from tremula.features.sliding_sync import routes as sliding_sync_routes
from tremula.features.sliding_sync.answers import Answers, RoomResults
from tremula.features.sliding_sync.connections import Connections
from tremula.features.sliding_sync.device_extensions import DeviceExtensions
from tremula.features.sliding_sync.extensions import RoomExtensions
from tremula.features.sliding_sync.left_results import LeftRoomResults
from tremula.features.sliding_sync.list_filters import ListFiltering
from tremula.features.sliding_sync.parts import UnreadCounter
from tremula.features.sliding_sync.personal import PersonalLists
from tremula.features.sliding_sync.request import Bodies
from tremula.features.sliding_sync.room_lists import RoomLists
from tremula.features.sliding_sync.room_results import JoinedRoomResults
from tremula.features.sliding_sync.routes import SlidingSyncEdge
from tremula.features.sliding_sync.service import SlidingSync
from tremula.features.sync.invited_rooms import InvitedRooms
from tremula.features.sync.lazy_members import LazyMembers
from tremula.features.sync.summary import Summaries
from tremula.features.sync.timeline import Timelines
from tremula.features.thread_subscriptions.service import ThreadSubscriptions
from tremula.features.to_device.sync import DeviceInbox
from tremula.features.typing.sync import TypingPart
from tremula.rooms.overview import RoomOverview


class SyncParts(Struct, frozen=True, kw_only=True):
    """What both ways to sync have in common."""

    timelines: Timelines
    summaries: Summaries
    lazy_members: LazyMembers
    invited: InvitedRooms
    account_data: GlobalAccountDataPart
    room_account_data: RoomAccountDataPart
    receipts: ReceiptsPart
    typing: TypingPart
    device_lists: DeviceListsPart
    inbox: DeviceInbox
    key_status: KeyStatus
    unread: UnreadCounter


def add_sliding_sync(
    base: Base, engine: Engine, people: People, parts: SyncParts
) -> None:
    """MSC4186."""
    journal = base.journal
    connections = _build_connections(base, people)
    sliding_sync = SlidingSync(
        journal,
        engine.memberships,
        connections,
        _build_answers(base, engine, people, parts),
        DeviceExtensions(journal, parts.inbox, parts.device_lists, parts.key_status),
        base.clock,
    )
    bodies = Bodies()
    base.metrics.caches.watch("sliding_sync_bodies", bodies.cache)
    base.router.add(
        sliding_sync_routes, SlidingSyncEdge(sliding_sync, bodies, people.presence)
    )


def _build_connections(base: Base, people: People) -> Connections:
    connections = Connections(base.database, base.journal, base.clock)
    people.accounts.devices.observe(connections)
    base.metrics.caches.watch("sliding_sync_connections", connections.cache)
    base.supervisor.keep_running("sliding_sync_sweep", connections.run)
    return connections


def _build_answers(
    base: Base, engine: Engine, people: People, parts: SyncParts
) -> Answers:
    overview = RoomOverview(base.database, base.journal)
    base.metrics.caches.count("room_overview", overview.__len__)
    personal = PersonalLists(base.journal, people.account_data)
    base.metrics.caches.watch("sliding_sync_personal", personal.cache)
    filtering = ListFiltering(overview, engine.outside, engine.reader, personal)
    base.metrics.caches.watch("sliding_sync_facts", filtering.cache)
    lists = RoomLists(
        base.journal,
        engine.memberships,
        overview,
        people.account_data,
        InvitePermission(people.account_data),
        filtering,
    )
    extensions = RoomExtensions(
        parts.account_data,
        parts.room_account_data,
        parts.receipts,
        parts.typing,
        ThreadSubscriptions(
            base.database,
            base.journal,
            engine.reader,
            engine.events,
            engine.visibility,
        ),
    )
    results = _build_results(engine, parts)
    return Answers(lists, personal, overview, parts.unread, results, extensions)


def _build_results(engine: Engine, parts: SyncParts) -> RoomResults:
    joined = JoinedRoomResults(
        parts.timelines,
        engine.reader,
        engine.events,
        engine.serializer,
        parts.summaries,
        parts.lazy_members,
    )
    left = LeftRoomResults(
        parts.timelines,
        engine.reader,
        engine.events,
        engine.serializer,
        engine.visibility,
        engine.outside,
    )
    return RoomResults(engine.reader, engine.visibility, joined, left, parts.invited)
