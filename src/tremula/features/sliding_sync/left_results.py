"""What an answer says of a room that the user has left, or was thrown out of.

Nothing of what happened after that, and nothing of a room where the user never was.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.sliding_sync.required_state import RequiredState
from tremula.features.sliding_sync.room_results import (
    RoomRequest,
    RoomResult,
    room_json,
    users_in,
    with_limit,
)
from tremula.features.sync.parts import SyncContext
from tremula.features.sync.timeline import Timeline, Timelines, Window
from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import StateKey
from tremula.rooms.access import end_of_last_stay
from tremula.rooms.event_store import EventStore
from tremula.rooms.outside import NO_POS, OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import Audience, Serializer, room_id_member
from tremula.rooms.state import MEMBER
from tremula.rooms.storage import UserRoom
from tremula.rooms.tokens import format_place
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer, Visibility

_NAMES: Final[Mapping[StateKey, tuple[str, str]]] = {
    ("m.room.name", ""): ("name", "name"),
    ("m.room.avatar", ""): ("avatar", "url"),
}


class _Left(Struct, frozen=True):
    """What is shown of a room to its ``viewer``: the numbers of events."""

    view: RoomView
    viewer: Viewer
    state: Mapping[StateKey, int]
    timeline: Sequence[int]
    fields: Mapping[str, Any]


class LeftRoomResults(Struct, frozen=True):
    """Builds them."""

    timelines: Timelines
    reader: RoomReader
    events: EventStore
    serializer: Serializer
    visibility: Visibility
    outside: OutsideRooms

    async def build(
        self, ctx: SyncContext, room: UserRoom, request: RoomRequest
    ) -> RoomResult | None:
        """The room's result, up to the end of the user's last stay."""
        if room.room_pos == NO_POS:
            return await self._outside(ctx, room, request)
        view = await self.reader.find_room(room.room_id)
        if view is None:
            # It is gone from this server.
            return None
        viewer = await self.visibility.viewer(view, ctx.user_id)
        end_pos = end_of_last_stay(viewer.memberships)
        own = await self._own_event(view, ctx.user_id, room)
        if end_pos is None:
            # Who was never in is told of the refusal, and no more.
            left = _Left(view, viewer, own, list(own.values()), {})
            return await self._result(ctx, request, left, is_over=True)
        since = request.since
        if since and not await self._was_joined(view, ctx.user_id, since):
            since = 0
        window = Window(since, ctx.now, end_pos)
        limited_ctx = with_limit(ctx, request.config.timeline_limit)
        timeline = await self.timelines.read(limited_ctx, view, window)
        state = await self._state(view, request.config.required, timeline, window)
        shown, start_pos, limited = (
            timeline.events,
            timeline.start_pos,
            timeline.limited,
        )
        if not request.config.timeline_limit:
            shown, start_pos, limited = (), end_pos + 1, limited or bool(shown)
        fields: dict[str, Any] = {
            "limited": limited,
            "prev_batch": format_place(start_pos - 1),
        }
        if not since:
            fields |= {"initial": True, **await self._names(view, end_pos)}
        left = _Left(
            view, viewer, {**state, **own}, [e.event_nid for e in shown], fields
        )
        # Whoever leaves knows of it.
        is_over = room.sender == ctx.user_id
        return await self._result(ctx, request, left, is_over=is_over)

    async def _was_joined(self, view: RoomView, user_id: UserId, pos: int) -> bool:
        return await self.visibility.membership_at_nid(view, user_id, pos) == "join"

    async def _own_event(
        self, view: RoomView, user_id: UserId, room: UserRoom
    ) -> dict[StateKey, int]:
        """What the user is now, which clients are told whether they ask or not."""
        members = await self.reader.members_at(view, [user_id], room_pos=room.room_pos)
        return {(MEMBER, user): nid for user, nid in members.items()}

    async def _state(
        self,
        view: RoomView,
        required: RequiredState,
        timeline: Timeline,
        window: Window,
    ) -> dict[StateKey, int]:
        end_pos = window.end_pos
        if window.since:
            changes = await self.reader.state_changes(
                view, since_nid=window.since, before_pos=end_pos + 1
            )
            has_members = required.lazy_members and not timeline.limited
            return {
                key: nid
                for key, nid in changes.items()
                if required.admits(key) or (has_members and key[0] == MEMBER)
            }
        if required.wants_all_members:
            state = await self.reader.state_at(view, end_pos)
        else:
            state = await self.reader.other_state_at(view, end_pos)
        users = {UserId(key[1]) for key in required.keys if key[0] == MEMBER}
        if required.lazy_members:
            users |= users_in(timeline.events)
        members = await self.reader.members_at(view, sorted(users), room_pos=end_pos)
        found = {key: nid for key, nid in state.items() if required.admits(key)}
        return found | {(MEMBER, user): nid for user, nid in members.items()}

    async def _names(self, view: RoomView, end_pos: int) -> dict[str, str]:
        """What the room was called, and its picture, when the user was there."""
        state = await self.reader.other_state_at(view, end_pos)
        found = await self.events.by_nids(
            nid for key, nid in state.items() if key in _NAMES
        )
        names: dict[str, str] = {}
        for event in found.values():
            field, key = _NAMES[event.type, ""]
            value = event.content.get(key)
            if isinstance(value, str) and value:
                names[field] = value
        return names

    async def _result(
        self, ctx: SyncContext, request: RoomRequest, left: "_Left", *, is_over: bool
    ) -> RoomResult:
        found = await self.events.by_nids([*left.state.values(), *left.timeline])
        state = [found[nid] for nid in left.state.values() if nid in found]
        timeline = [found[nid] for nid in left.timeline if nid in found]
        encoded = await self.serializer.client_events(
            left.view,
            [*state, *timeline],
            Audience(left.viewer, ctx.device_id),
            leave_out=room_id_member(left.view.room_id),
        )
        live = sum(event.journal_pos > request.pos for event in timeline)
        fields = {
            "bump_stamp": request.bump_pos,
            "num_live": live if request.pos else 0,
            **left.fields,
        }
        return RoomResult(
            room_json(fields, encoded[: len(state)], encoded[len(state) :]),
            (),
            request.config,
            is_over,
        )

    async def _outside(
        self, ctx: SyncContext, room: UserRoom, request: RoomRequest
    ) -> RoomResult | None:
        """Of a room that this server was not in: the leave itself."""
        found = await self.outside.among(ctx.user_id, [room])
        left = found.get(room.room_nid)
        if left is None:
            return None
        event = orjson.dumps({k: v for k, v in left.event.items() if k != "room_id"})
        fields = {"bump_stamp": request.bump_pos, "num_live": 1}
        return RoomResult(
            room_json(fields, [event], [event]), (), request.config, is_over=True
        )
