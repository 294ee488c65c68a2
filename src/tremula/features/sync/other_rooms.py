"""The sections ``invite``, ``knock`` and ``leave`` of `/sync`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tremula.features.sync.parts import SyncContext
from tremula.features.sync.request import StateForm
from tremula.features.sync.room_entries import EntryRequest, RoomEntries
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_state import member_key
from tremula.rooms.event_store import EventStore
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import stripped_event
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

# CS "Stripped state".
_STRIPPED_TYPES: Final = (
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
)


@dataclass(frozen=True, slots=True)
class OtherRooms:
    """Builds the entries of rooms that the user is not joined to."""

    rooms: RoomReader
    events: EventStore
    built: RoomEntries

    async def sections(
        self,
        ctx: SyncContext,
        user_rooms: Iterable[UserRoom],
        since: int,
        *,
        state_form: StateForm,
    ) -> dict[str, dict[RoomId, bytes]]:
        """``{"invite": {room id: entry}, …}`` of what is new after *since*."""
        sections: dict[str, dict[RoomId, bytes]] = {
            "invite": {},
            "knock": {},
            "leave": {},
        }
        for room in user_rooms:
            if not self._is_wanted(ctx, room, since):
                continue
            view = await self.rooms.get_room(room.room_id)
            if room.membership in ("invite", "knock"):
                events = await self._stripped(view, ctx.user_id, room.sender)
                sections[room.membership][room.room_id] = (
                    b'{"%b_state":{"events":[%b]}}'
                    % (room.membership.encode(), b",".join(events))
                )
                continue
            sections["leave"][room.room_id] = await self._left(
                ctx, view, room, since, state_form=state_form
            )
        return sections

    def _is_wanted(self, ctx: SyncContext, room: UserRoom, since: int) -> bool:
        if room.membership == "join" or not ctx.filter.room.rooms.admits(room.room_id):
            return False
        is_new = since < room.event_nid <= ctx.now
        if room.membership == "invite":
            return is_new and room.sender not in ctx.ignored_users
        if room.membership == "knock":
            return is_new
        # Rooms that were left before are asked for with include_leave, on an
        # initial sync; what is forgotten is not shown at all.
        return (
            not room.forgotten
            and is_new
            and (bool(since) or ctx.filter.room.include_leave)
        )

    async def _left(
        self,
        ctx: SyncContext,
        view: RoomView,
        room: UserRoom,
        since: int,
        *,
        state_form: StateForm,
    ) -> bytes:
        viewer = await self.built.visibility.viewer(view, ctx.user_id)
        was_joined = bool(since) and (
            await self.built.visibility.membership_at_nid(view, ctx.user_id, since)
            == "join"
        )
        request = EntryRequest(
            since=since if was_joined else 0,
            end_pos=room.room_pos,
            state_form=state_form,
            parts={},
        )
        return await self.built.left(ctx, view, request, state=viewer.was_ever_joined)

    async def _stripped(
        self, view: RoomView, user_id: UserId, sender: str
    ) -> Sequence[bytes]:
        keys = [(event_type, "") for event_type in _STRIPPED_TYPES]
        keys += [member_key(user_id), member_key(sender)]
        nids = [
            event.event_nid
            for key in dict.fromkeys(keys)
            if (event := view.state.get(key)) is not None
        ]
        found = await self.events.by_nids(nids)
        return [stripped_event(found[nid]) for nid in nids]
