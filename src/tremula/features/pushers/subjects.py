"""Reads what a user is to be told of an event, and of the room that it is in."""

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.features.push.service import Notified
from tremula.features.pushers.invitations import (
    invitation_subject,
    invitation_title,
)
from tremula.features.pushers.notification import Subject
from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import member_key
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.memberships import Memberships
from tremula.rooms.outside import NO_POS, OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import Serializer
from tremula.rooms.state import MEMBER
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

_PRESENT: Final = ("join", "invite")
_NAMED_MAX: Final = 5


class Subjects(Struct, frozen=True):
    """Reads events for their notifications; without a query where all is in memory."""

    reader: RoomReader
    events: EventStore
    memberships: Memberships
    outside: OutsideRooms
    serializer: Serializer
    account_data: AccountData

    async def of(self, user_id: UserId, notified: Notified) -> Subject | None:
        """What there is to say; None of what the user does not want to hear any more:
        in a room that they have left, from somebody whom they ignore, or redacted.
        """
        room = await self._user_room(user_id, notified.room_nid)
        if room is None:
            return None
        if notified.is_outside:
            return await self._of_invitation(user_id, notified, room)
        view = await self.reader.find_room(room.room_id)
        if view is None:
            return None
        event = await self.events.by_nid(notified.event_nid)
        ignored = await self.account_data.ignored_users(user_id)
        if event.redacted_by_nid is not None or event.sender in ignored:
            return None
        names = await self.display_names(view, [event.sender])
        return Subject(
            event_id=event.event_id,
            room_id=view.room_id,
            type=event.type,
            sender=event.sender,
            content=await self.serializer.content(view, event, user_id),
            ts_ms=event.origin_server_ts,
            user_is_target=event.type == MEMBER and event.state_key == user_id,
            sender_display_name=names.get(event.sender),
            room_name=_text_of(view, "m.room.name", "name"),
            room_alias=_text_of(view, "m.room.canonical_alias", "alias"),
        )

    async def title_of(self, user_id: UserId, room_nid: int) -> str | None:
        """A name for the room (CS "Calculating the display name for a room"), if the
        user is in it or invited.
        """
        room = await self._user_room(user_id, room_nid)
        if room is None:
            return None
        if room.room_pos == NO_POS:
            outside = await self.outside.among(user_id, [room])
            return invitation_title(outside[room_nid]) if room_nid in outside else None
        view = await self.reader.find_room(room.room_id)
        if view is None:
            return None
        named = _text_of(view, "m.room.name", "name")
        named = named or _text_of(view, "m.room.canonical_alias", "alias")
        return named or await self._named_by_members(view, user_id)

    async def _of_invitation(
        self, user_id: UserId, notified: Notified, room: UserRoom
    ) -> Subject | None:
        """An invitation, unless it has been replaced by another one."""
        if room.event_nid != notified.event_nid:
            return None
        outside = await self.outside.among(user_id, [room])
        invitation = outside.get(room.room_nid)
        ignored = await self.account_data.ignored_users(user_id)
        if invitation is None or invitation.sender in ignored:
            return None
        return invitation_subject(invitation)

    async def _user_room(self, user_id: UserId, room_nid: int) -> UserRoom | None:
        """What the user is to the room, if they are in it or invited."""
        room = (await self.memberships.of_user(user_id)).get(room_nid)
        is_present = room is not None and room.membership in _PRESENT
        return room if is_present else None

    async def display_names(
        self, view: RoomView, user_ids: Iterable[UserId]
    ) -> dict[UserId, str]:
        """What users are called in the room, of those who are called anything."""
        members = {
            member.event_nid: user_id
            for user_id in user_ids
            if (member := view.state.get(member_key(user_id))) is not None
        }
        found = await self.events.by_nids(members)
        names = {members[nid]: _display_name(event) for nid, event in found.items()}
        return {user_id: name for user_id, name in names.items() if name}

    async def _named_by_members(self, view: RoomView, user_id: UserId) -> str:
        others = _others(view, user_id)
        if not others:
            return "Empty room"
        names = await self.display_names(view, others)
        shown = [names.get(other, other) for other in others]
        count = view.joined_count + view.invited_count - 1 - len(shown)
        if count > 0:
            shown.append(f"{count} others")
        *first, last = shown
        return f"{', '.join(first)} and {last}" if first else last


def _others(view: RoomView, user_id: UserId) -> Collection[UserId]:
    found: list[UserId] = []
    for membership in _PRESENT:
        for other in view.members(membership):
            if other != user_id:
                found.append(other)
            if len(found) == _NAMED_MAX:
                return found
    return found


def _text_of(view: RoomView, event_type: str, key: str) -> str | None:
    text = (view.content_of(event_type) or {}).get(key)
    return text if isinstance(text, str) and text else None


def _display_name(event: StoredEvent) -> str | None:
    name = event.content.get("displayname")
    return name if isinstance(name, str) and name else None
