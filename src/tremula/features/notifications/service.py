"""Lists what users were notified of, with the events themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

from tremula.features.push.service import Notified, NotifiedEvents
from tremula.features.receipts.service import NOTHING_READ, Receipts
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.outside import OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import Audience, Serializer, room_id_member
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Visibility


class Wish(Struct, frozen=True):
    """Which part of the list is asked for: at most *limit* from before *before_pos*."""

    before_pos: int
    limit: int
    only_highlights: bool


class NotificationList(Struct, frozen=True):
    """A part of the list, newest first, and before which position it goes on."""

    notifications: Sequence[Mapping[str, Any]]
    rest_pos: int | None


class Notifications(Struct, frozen=True):
    """Reads the marks that events left for a user."""

    notified: NotifiedEvents
    receipts: Receipts
    outside: OutsideRooms
    reader: RoomReader
    events: EventStore
    visibility: Visibility
    serializer: Serializer

    async def newest(
        self, user_id: UserId, device_id: DeviceId | None, wish: Wish
    ) -> NotificationList:
        """What notified the user; what they may not see is left out."""
        page = await self.notified.page_before(
            user_id,
            wish.before_pos,
            only_highlights=wish.only_highlights,
            limit=wish.limit,
        )
        by_room: dict[int, list[Notified]] = {}
        for each in page.notified:
            if each.is_outside:
                continue
            by_room.setdefault(each.room_nid, []).append(each)
        read = await self.receipts.read_up_to(user_id, by_room)
        rooms = await self.outside.memberships.of_user(user_id)
        shown = await self._invitations(user_id, page.notified)
        for nid, of_room in by_room.items():
            view = await self.reader.get_room(rooms[nid].room_id)
            events = await self._events(view, user_id, device_id, of_room)
            read_up_to = read.get(nid, NOTHING_READ)
            for each in of_room:
                if each.event_nid in events:
                    shown[each.pos] = {
                        "actions": each.actions,
                        "event": orjson.Fragment(events[each.event_nid].body),
                        "read": read_up_to.covers(each.thread, each.room_pos),
                        "room_id": view.room_id,
                        "ts": events[each.event_nid].ts_ms,
                    }
        newest_first = sorted(shown, reverse=True)
        return NotificationList([shown[pos] for pos in newest_first], page.rest_pos)

    async def _invitations(
        self, user_id: UserId, notified: Sequence[Notified]
    ) -> dict[int, Mapping[str, Any]]:
        """Those to rooms that this server is not in, by their positions."""
        rooms = await self.outside.memberships.of_user(user_id)
        by_room = {
            each.room_nid: each
            for each in notified
            if each.is_outside and rooms[each.room_nid].event_nid == each.event_nid
        }
        outside = await self.outside.among(user_id, [rooms[nid] for nid in by_room])
        shown: dict[int, Mapping[str, Any]] = {}
        for nid, invitation in outside.items():
            event = invitation.event
            shown[by_room[nid].pos] = {
                "actions": by_room[nid].actions,
                "event": {k: v for k, v in event.items() if k != "room_id"},
                # There is nothing in the room that a receipt could be for.
                "read": False,
                "room_id": invitation.room_id,
                "ts": event["origin_server_ts"],
            }
        return shown

    async def _events(
        self,
        view: RoomView,
        user_id: UserId,
        device_id: DeviceId | None,
        notified: Sequence[Notified],
    ) -> Mapping[int, "_Shown"]:
        """The events that the user may see, by their numbers."""
        found = await self.events.by_nids(each.event_nid for each in notified)
        oldest_pos = min(each.room_pos for each in notified)
        viewer = await self.visibility.viewer(view, user_id, oldest_pos=oldest_pos)
        # Whoever is invited sees nothing of the room but the invitation.
        visible = [
            event
            for event in found.values()
            if viewer.can_see(event) or _is_about(event, user_id)
        ]
        bodies = await self.serializer.client_events(
            view,
            visible,
            Audience(viewer, device_id),
            leave_out=room_id_member(view.room_id),
        )
        return {
            event.event_nid: _Shown(body, event.origin_server_ts)
            for event, body in zip(visible, bodies, strict=True)
        }


class _Shown(Struct, frozen=True):
    """An event as it is shown, and when it was sent."""

    body: bytes
    ts_ms: int


def _is_about(event: StoredEvent, user_id: UserId) -> bool:
    return event.type == MEMBER and event.state_key == user_id
