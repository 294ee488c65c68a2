"""The section ``leave`` of `/sync`."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.sync.parts import RoomPart, RoomRef, SyncContext
from tremula.features.sync.request import StateForm
from tremula.features.sync.room_entries import EntryRequest, RoomEntries
from tremula.protocol.identifiers import RoomId
from tremula.rooms.access import end_of_last_stay
from tremula.rooms.outside import NO_POS, OutsideMembership, OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom
from tremula.rooms.tokens import format_place
from tremula.rooms.view import RoomView

_GONE: Final = frozenset({"leave", "ban"})


class _Stay(Struct, frozen=True):
    """What is shown of a room that the user has left: news after ``since``.

    State is shown if the user was joined at any time after what the client knows.
    ``own_nid`` is the event that ended it, 0 if that is no news to the client.
    """

    view: RoomView
    since: int
    end_pos: int
    has_state: bool
    own_nid: int

    @property
    def ref(self) -> RoomRef:
        return RoomRef(self.view.nid, self.view.room_id)


class LeftRooms(Struct, frozen=True):
    """Builds the entries of rooms that the user has left or was banned from.

    With ``forgets_left`` they are shown once, as news, and then forgotten.
    """

    rooms: RoomReader
    outside: OutsideRooms
    built: RoomEntries
    account_data: RoomPart
    forgets_left: bool = False

    async def entries(
        self,
        ctx: SyncContext,
        user_rooms: Iterable[UserRoom],
        since: int,
        *,
        state_form: StateForm,
    ) -> dict[RoomId, bytes]:
        """The entries of the rooms that were left after *since*, by room id.

        With ``include_leave`` also those left before, at first; later, if there is
        new account data.
        """
        changed: Collection[int] = ()
        if since and ctx.filter.room.include_leave:
            changed = await self.account_data.changed_rooms(ctx, since)
        wanted = [
            room for room in user_rooms if self._is_wanted(ctx, room, since, changed)
        ]
        outside = await self.outside.among(ctx.user_id, wanted)
        stays = [
            await self._stay(ctx, room, since)
            for room in wanted
            # Where nothing is known of how it was left, there is nothing to show.
            if room.room_nid not in outside and room.room_pos != NO_POS
        ]
        account_data = await self._account_data(ctx, stays, since)
        entries = {left.room_id: _left_outside(left) for left in outside.values()}
        for stay in stays:
            request = EntryRequest(
                since=stay.since,
                end_pos=stay.end_pos,
                state_form=state_form,
                parts={self.account_data.section: account_data.get(stay.view.nid, ())},
            )
            entries[stay.view.room_id] = await self.built.left(
                ctx,
                stay.view,
                request,
                has_state=stay.has_state,
                own_nid=stay.own_nid,
            )
        return entries

    def _is_wanted(
        self, ctx: SyncContext, room: UserRoom, since: int, changed: Collection[int]
    ) -> bool:
        if room.membership not in _GONE or room.event_nid > ctx.now:
            return False
        if not ctx.filter.room.rooms.admits(room.room_id):
            return False
        if room.event_nid > since > 0:
            # Of a room that is forgotten already, devices learn that it was left.
            return True
        is_forgotten = room.forgotten or self.forgets_left
        if is_forgotten or not ctx.filter.room.include_leave:
            return False
        return not since or room.room_nid in changed

    async def _stay(self, ctx: SyncContext, room: UserRoom, since: int) -> _Stay:
        view = await self.rooms.get_room(room.room_id)
        if room.event_nid <= since:
            return _Stay(view, ctx.now, room.room_pos, has_state=False, own_nid=0)
        visibility = self.built.visibility
        viewer = await visibility.viewer(view, ctx.user_id)
        # Whoever was never more than banned has nothing to be rid of.
        was_more = any(each not in _GONE for _, each in viewer.memberships)
        own_nid = room.event_nid if was_more else 0
        if room.forgotten:
            return _Stay(view, ctx.now, room.room_pos, has_state=False, own_nid=own_nid)
        end_pos = end_of_last_stay(viewer.memberships)
        memberships = await visibility.memberships_from_nid(view, ctx.user_id, since)
        if end_pos is None or "join" not in memberships:
            return _Stay(view, since, room.room_pos, has_state=False, own_nid=own_nid)
        was_joined = memberships[0] == "join"
        return _Stay(
            view, since if was_joined else 0, end_pos, has_state=True, own_nid=own_nid
        )

    async def _account_data(
        self, ctx: SyncContext, stays: Sequence[_Stay], since: int
    ) -> dict[int, Sequence[bytes]]:
        known = [stay.ref for stay in stays if stay.since]
        new = [stay.ref for stay in stays if not stay.since]
        found = dict(await self.account_data.room_events(ctx, known, since))
        found.update(await self.account_data.room_events(ctx, new, 0))
        return found


def _left_outside(left: OutsideMembership) -> bytes:
    """The entry of a room that this server was not in: the leave itself."""
    event = {key: value for key, value in left.event.items() if key != "room_id"}
    return b'{"timeline":{"events":[%b],"limited":false,"prev_batch":"%b"}}' % (
        orjson.dumps(event),
        format_place(NO_POS).encode(),
    )
