"""The sections ``invite`` and ``knock`` of `/sync`."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tremula.features.sync.parts import InviteBlocks, SyncContext
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_state import member_key
from tremula.protocol.stripped_state import STRIPPED_TYPES
from tremula.rooms.event_store import EventStore
from tremula.rooms.outside import NO_POS, OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import stripped_event
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView


class InvitedRooms(Struct, frozen=True):
    """Builds the entries of rooms that the user may or wants to join."""

    rooms: RoomReader
    events: EventStore
    outside: OutsideRooms
    blocks: InviteBlocks

    async def sections(
        self, ctx: SyncContext, user_rooms: Iterable[UserRoom], since: int
    ) -> dict[str, dict[RoomId, bytes]]:
        """``{"invite": {room id: entry}, …}`` of what is new after *since*."""
        sections: dict[str, dict[RoomId, bytes]] = {"invite": {}, "knock": {}}
        wanted = [room for room in user_rooms if _is_wanted(ctx, room, since)]
        # CS "Invite permission": invitations from before it was switched on "MUST NOT
        # be served".
        is_blocked = any(
            room.membership == "invite" for room in wanted
        ) and await self.blocks.is_blocked(ctx.user_id)
        told = await self.stripped_states(
            ctx.user_id,
            [r for r in wanted if not (is_blocked and r.membership == "invite")],
        )
        for room in wanted:
            events = told.get(room.room_nid)
            if events is not None:
                sections[room.membership][room.room_id] = (
                    b'{"%b_state":{"events":[%b]}}'
                    % (room.membership.encode(), b",".join(events))
                )
        return sections

    async def stripped_states(
        self, user_id: UserId, user_rooms: Sequence[UserRoom]
    ) -> dict[int, Sequence[bytes]]:
        """What *user_id* is told of rooms without being in them, by room nid; some may
        be left out, which are others by now: that is told next.
        """
        told: dict[int, Sequence[bytes]] = {}
        outside = await self.outside.among(user_id, user_rooms)
        for room in user_rooms:
            if room.room_nid in outside:
                told[room.room_nid] = outside[room.room_nid].stripped_state
            elif room.room_pos != NO_POS:
                view = await self.rooms.get_room(room.room_id)
                told[room.room_nid] = await self._stripped(view, user_id, room.sender)
        return told

    async def _stripped(
        self, view: RoomView, user_id: UserId, sender: str
    ) -> Sequence[bytes]:
        keys = [(event_type, "") for event_type in STRIPPED_TYPES]
        keys += [member_key(user_id), member_key(sender)]
        nids = [
            event.event_nid
            for key in dict.fromkeys(keys)
            if (event := view.state.get(key)) is not None
        ]
        found = await self.events.by_nids(nids)
        return [stripped_event(found[nid]) for nid in nids]


def _is_wanted(ctx: SyncContext, room: UserRoom, since: int) -> bool:
    if not since < room.event_nid <= ctx.now:
        return False
    if not ctx.filter.room.rooms.admits(room.room_id):
        return False
    if room.membership == "invite":
        return room.sender not in ctx.ignored_users
    return room.membership == "knock"
