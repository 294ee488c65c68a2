"""The ``state`` (or ``state_after``) of one room in `/sync`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tremula.features.sync.lazy_members import DeviceRoom, LazyMembers
from tremula.features.sync.parts import SyncContext
from tremula.features.sync.timeline import Timeline, Window
from tremula.protocol.filters import RoomEventFilter
from tremula.protocol.identifiers import UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView


@dataclass(frozen=True, slots=True)
class StateRequest:
    """Which state of a room is asked for.

    ``whole`` asks for all of it, else for what changed in the window. ``after``
    takes it at the end of the timeline, else at its start (MSC4222).
    """

    window: Window
    whole: bool
    after: bool
    heroes: Sequence[UserId]


@dataclass(frozen=True, slots=True)
class StateSections:
    """Reads the state that goes with a timeline."""

    rooms: RoomReader
    events: EventStore
    lazy_members: LazyMembers

    async def read(
        self,
        ctx: SyncContext,
        view: RoomView,
        timeline: Timeline,
        request: StateRequest,
    ) -> list[StoredEvent]:
        """The state events to show, in the order of the room.

        No query for a timeline without a gap whose senders the device knows.
        """
        wanted = ctx.filter.room.state
        if not wanted.rooms.admits(view.room_id):
            return []
        at_pos = request.window.end_pos if request.after else timeline.start_pos - 1
        if request.whole:
            nids = await self._whole(view, at_pos, lazy=wanted.lazy_load_members)
        else:
            nids = await self._changes(ctx, view, timeline, request, at_pos)
        if wanted.lazy_load_members:
            lazy = await self._lazy(ctx, view, timeline, request, at_pos)
            nids |= lazy
        found = await self.events.by_nids(nids)
        shown = [event for event in found.values() if _admits(wanted, event)]
        shown.sort(key=lambda event: event.room_pos)
        return shown

    async def _whole(self, view: RoomView, at_pos: int, *, lazy: bool) -> set[int]:
        if lazy:
            return set((await self.rooms.other_state_at(view, at_pos)).values())
        return set((await self.rooms.state_at(view, at_pos)).values())

    async def _changes(
        self,
        ctx: SyncContext,
        view: RoomView,
        timeline: Timeline,
        request: StateRequest,
        at_pos: int,
    ) -> set[int]:
        whole_timeline = not timeline.limited and ctx.filter.room.timeline.admits_all
        if not timeline.has_state or (whole_timeline and not request.after):
            return set()
        changes = await self.rooms.state_changes(
            view, since_nid=request.window.since, before_pos=at_pos + 1
        )
        return set(changes.values())

    async def _lazy(
        self,
        ctx: SyncContext,
        view: RoomView,
        timeline: Timeline,
        request: StateRequest,
        at_pos: int,
    ) -> set[int]:
        users: set[UserId] = {event.sender for event in timeline.events}
        users.update(request.heroes)
        if request.whole:
            # "servers MUST include the syncing user's own membership event when
            # they join a room, or when the full state of rooms is requested".
            users.add(ctx.user_id)
        members = await self.rooms.members_at(view, sorted(users), room_pos=at_pos)
        device_room = DeviceRoom(ctx.user_id, ctx.device_id, view.nid)
        if not request.whole and not ctx.filter.room.state.include_redundant_members:
            members = self.lazy_members.without_sent(
                device_room, members, since=request.window.since
            )
        self.lazy_members.record(device_room, members, now=ctx.now)
        self.lazy_members.record(device_room, _members_in(timeline.events), now=ctx.now)
        return set(members.values())


def _members_in(events: Iterable[StoredEvent]) -> dict[str, int]:
    return {
        event.state_key: event.event_nid
        for event in events
        if event.type == "m.room.member" and event.state_key is not None
    }


def _admits(wanted: RoomEventFilter, event: StoredEvent) -> bool:
    return wanted.admits_all or wanted.admits(event.type, event.sender, event.content)
