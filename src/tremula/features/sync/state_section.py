"""The ``state`` (or ``state_after``) of one room in `/sync`."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from tremula.features.sync.lazy_members import DeviceRoom, LazyMembers
from tremula.features.sync.parts import SyncContext
from tremula.features.sync.timeline import Timeline, Window
from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import StateKey
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

_Nids = dict[StateKey, int]


class StateRequest(Struct, frozen=True):
    """Which state of a room is asked for.

    ``whole`` asks for all of it, else for what changed in the window. ``after``
    takes it at the end of the timeline, else at its start (MSC4222).
    """

    window: Window
    whole: bool
    after: bool
    heroes: Sequence[UserId]


class StateSections(Struct, frozen=True):
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
        unshown = {} if request.after else await self._unshown(view, timeline, request)
        if request.whole:
            lazy = wanted.lazy_load_members
            nids = await self._whole(view, at_pos, lazy=lazy)
        else:
            nids = await self._changes(view, timeline, request, at_pos)
        if wanted.lazy_load_members:
            users = _relevant_users(ctx, timeline, request)
            nids = await self._members(ctx, view, users, request, at_pos) | nids
            if request.whole:
                unshown = {
                    key: nid
                    for key, nid in unshown.items()
                    if key[0] != MEMBER or key[1] in users
                }
        found = await self.events.by_nids((nids | unshown).values())
        shown = list(found.values())
        if not wanted.admits_all:
            shown = [e for e in shown if wanted.admits(e.type, e.sender, e.content)]
        shown.sort(key=lambda event: event.room_pos)
        if wanted.limit is not None:
            shown = shown[-wanted.limit :]
        if wanted.lazy_load_members:
            self._record(ctx, view, request, shown, timeline)
        return shown

    async def _whole(self, view: RoomView, at_pos: int, *, lazy: bool) -> _Nids:
        if lazy:
            return await self.rooms.other_state_at(view, at_pos)
        return await self.rooms.state_at(view, at_pos)

    async def _changes(
        self, view: RoomView, timeline: Timeline, request: StateRequest, at_pos: int
    ) -> _Nids:
        if timeline.shows_all_changes:
            return _newest(e for e in timeline.state_events if e.room_pos <= at_pos)
        return await self.rooms.state_changes(
            view, since_nid=request.window.since, before_pos=at_pos + 1
        )

    async def _unshown(
        self, view: RoomView, timeline: Timeline, request: StateRequest
    ) -> _Nids:
        """What changed from the timeline's start on and is not in it.

        It is kept out of it by the filter, or it changed by state resolution. The
        client could not know of it otherwise.
        """
        if not timeline.is_linear:
            shown_nids = {event.event_nid for event in timeline.events}
            later = await self.rooms.state_changes_between(
                view,
                after_pos=timeline.start_pos - 1,
                before_pos=request.window.end_pos + 1,
            )
            return {key: nid for key, nid in later.items() if nid not in shown_nids}
        if not timeline.state_events:
            return {}
        shown = _newest(event for event in timeline.events if event.is_state)
        later = _newest(
            e for e in timeline.state_events if e.room_pos >= timeline.start_pos
        )
        return {key: nid for key, nid in later.items() if key not in shown}

    async def _members(
        self,
        ctx: SyncContext,
        view: RoomView,
        users: AbstractSet[UserId],
        request: StateRequest,
        at_pos: int,
    ) -> _Nids:
        members = await self.rooms.members_at(view, sorted(users), room_pos=at_pos)
        if not request.whole and not ctx.filter.room.state.include_redundant_members:
            members = self.lazy_members.without_sent(
                _device_room(ctx, view), members, since=request.window.since
            )
        return {(MEMBER, user_id): nid for user_id, nid in members.items()}

    def _record(
        self,
        ctx: SyncContext,
        view: RoomView,
        request: StateRequest,
        state: Iterable[StoredEvent],
        timeline: Timeline,
    ) -> None:
        device_room = _device_room(ctx, view)
        if not request.window.since:
            # Whatever the device knew of this room, it starts anew.
            self.lazy_members.forget(device_room)
        members = _members_in(state)
        if not request.after:
            # With state_after, clients take no state from the timeline.
            members |= _members_in(timeline.events)
        self.lazy_members.record(device_room, members, now=ctx.now)


def _relevant_users(
    ctx: SyncContext, timeline: Timeline, request: StateRequest
) -> set[UserId]:
    users = {event.sender for event in timeline.events}
    users.update(request.heroes)
    if request.whole:
        # "servers MUST include the syncing user's own membership event when they join
        # a room, or when the full state of rooms is requested".
        users.add(ctx.user_id)
    return users


def _newest(events: Iterable[StoredEvent]) -> _Nids:
    """The newest of state events, which are in order, by key."""
    return {
        (event.type, event.state_key): event.event_nid
        for event in events
        if event.state_key is not None
    }


def _device_room(ctx: SyncContext, view: RoomView) -> DeviceRoom:
    return DeviceRoom(ctx.user_id, ctx.device_id, view.nid)


def _members_in(events: Iterable[StoredEvent]) -> dict[str, int]:
    return {
        event.state_key: event.event_nid
        for event in events
        if event.type == MEMBER and event.state_key is not None
    }
