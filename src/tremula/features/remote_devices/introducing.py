"""Tells servers of a user's devices whom they have not been told of before.

SS "Device Management": updates "must be sent […] when that user joins a room which
contains servers which are not already receiving updates".
"""

from msgspec import Struct

from tremula.features.device_keys.service import PublishedKeys
from tremula.features.remote_devices import untold_storage as storage
from tremula.features.remote_devices.telling import LIST_UPDATE, device_content
from tremula.infra.clock import Clock
from tremula.infra.duties import Duties
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.identifiers import UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.sharing import SharedRooms
from tremula.rooms.storage import UserRoom


class _Join(Struct, frozen=True):
    user_id: UserId
    room: UserRoom


class DeviceListIntroducer:
    """Follows the joins of our users. A server that was in a room with the user before
    may have a list from then; of what a crash keeps from being told here, it hears
    with the next change. The holder of the user's slot tells; who is told twice
    fetches the list twice.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        events: EventStore,
        shared: SharedRooms,
        published: PublishedKeys,
        edus: DurableEdus,
        slots: Slots,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._events = events
        self._shared = shared
        self._published = published
        self._edus = edus
        self._slots = slots
        self._duties = Duties(slots, clock, self._introduce)
        journal.subscribe(MEMBERSHIP_TOPIC, self._membership_changed)

    async def run(self) -> None:
        """Tell for ever; meant for the supervisor."""
        await self._duties.run()

    def _membership_changed(self, _pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        if room.membership != "join":
            return
        view = self._shared.reader.find_loaded(room.room_id)
        servers = view.joined_servers if view is not None else {}
        if len(servers) == 1 and self._shared.own in servers:
            # Nobody else is there to be told.
            return
        join = _Join(UserId(user_id), room)
        self._duties.note(user_id, (user_id, room.room_id), join)

    async def _introduce(self, join: _Join) -> None:
        view = await self._shared.reader.find_room(join.room.room_id)
        if view is None or len(view.joined_servers) < 2 or await self._was_in(join):
            return
        known_to = await self._shared.servers_with(join.user_id, but_nid=view.nid)
        new = view.joined_servers.keys() - known_to - {self._shared.own}
        # Read first: what changes meanwhile is told once more.
        stream_id = await storage.told_stream_id(self._shared.db, join.user_id)
        keys = await self._published.of_user(join.user_id)
        if not new or stream_id is None or keys is None or not keys.devices:
            return
        device_id = next(iter(keys.devices))
        # Nothing is said to be before it: who has an old list fetches it anew.
        content = {
            "user_id": join.user_id,
            "device_id": device_id,
            "stream_id": stream_id,
            "prev_id": [],
            **device_content(keys, device_id),
        }
        unit = self._journal.unit()
        unit.under(self._slots.lease(join.user_id))
        for server in new:
            self._edus.add(unit, server, LIST_UPDATE, content)
        await self._journal.commit(unit)

    async def _was_in(self, join: _Join) -> bool:
        """Whether the event is but a new name, say, of someone who was joined."""
        nid = join.room.event_nid
        joined = (await self._events.by_nids([nid])).get(nid)
        if joined is None or joined.replaces_nid is None:
            return False
        before = await self._events.by_nids([joined.replaces_nid])
        return any(each.content.get("membership") == "join" for each in before.values())
