"""A room's state and members, for those who may read them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tremula.infra.http import Requester
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.access import Access, RoomAccess
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.places import Places
from tremula.rooms.serialize import Audience, Serializer
from tremula.rooms.state import MEMBER


class MemberSelection(Struct, frozen=True):
    """Which members to list; with both set, either suffices (CS getMembersByRoom)."""

    membership: str | None = None
    not_membership: str | None = None

    def admits(self, membership: object) -> bool:
        """Whether members of *membership* are listed."""
        if self.membership is None and self.not_membership is None:
            return True
        return membership == self.membership or (
            self.not_membership is not None and membership != self.not_membership
        )


class RoomState(Struct, frozen=True):
    """Shows the state of rooms to those who may read them."""

    access: RoomAccess
    events: EventStore
    serializer: Serializer
    places: Places

    async def whole(self, requester: Requester, room_id: RoomId) -> list[bytes]:
        """The room's state, as client events.

        Raises:
            Forbidden: the requester may not read the room.
        """
        access = await self.access.reading_whole(requester.user_id, room_id)
        return await self.state_of(requester, access)

    async def state_of(self, requester: Requester, access: Access) -> list[bytes]:
        """The state that *access* reaches, as client events."""
        nids = await self._nids(access)
        return await self._shown(requester, access, nids.values())

    async def find(
        self, requester: Requester, room_id: RoomId, key: tuple[str, str]
    ) -> tuple[StoredEvent, Access]:
        """The state event at *key*.

        Raises:
            Forbidden: the requester may not read the room.
            NotFound: the room has no such state.
        """
        access = await self.access.reading(requester.user_id, room_id)
        if key[0] == MEMBER and not access.view.knows(UserId(key[1])):
            access = await self.access.reading_whole(requester.user_id, room_id)
        nid = None
        if access.is_current:
            current = access.view.state.get(key)
            nid = current.event_nid if current else None
        else:
            nid = (await self._nids(access)).get(key)
        if nid is None:
            raise NotFound("The room has no such state event")
        return await self.events.by_nid(nid), access

    async def content(
        self, requester: Requester, access: Access, event: StoredEvent
    ) -> dict[str, Any]:
        """The content of one event."""
        return await self.serializer.content(access.view, event, requester.user_id)

    async def shown(
        self, requester: Requester, access: Access, event: StoredEvent
    ) -> bytes:
        """One event as a client event."""
        return (await self._shown(requester, access, [event.event_nid]))[0]

    async def members(
        self,
        requester: Requester,
        room_id: RoomId,
        selection: MemberSelection,
        *,
        at: str | None,
    ) -> list[bytes]:
        """Member events, current or of the place that the token *at* stands for.

        Raises:
            Forbidden: the requester may not read the room.
            InvalidParam: *at* is not a token of this server.
        """
        access = await self.access.reading_whole(requester.user_id, room_id)
        if at is None and access.is_current:
            nids = [
                event.event_nid
                for event in access.view.state.values()
                if event.type == MEMBER
                and selection.admits(event.content["membership"])
            ]
        else:
            nids = await self._past_members(access, selection, at=at)
        return await self._shown(requester, access, nids)

    async def _past_members(
        self, access: Access, selection: MemberSelection, *, at: str | None
    ) -> list[int]:
        pos = access.up_to
        if at is not None:
            pos = min(pos, await self.places.parse(access.view, at))
        state = await self.access.reader.state_at(access.view, pos)
        nids = [nid for (event_type, _), nid in state.items() if event_type == MEMBER]
        events = await self.events.by_nids(nids)
        return [
            nid
            for nid in nids
            if selection.admits(events[nid].content.get("membership"))
        ]

    async def joined(
        self, user_id: UserId, room_id: RoomId
    ) -> dict[str, dict[str, str]]:
        """Profile of each joined member by user id, as their member events have it.

        Raises:
            Forbidden: *user_id* is not joined.
        """
        view = await self.access.reader.get_joined(room_id, user_id)
        if view.partial is not None:
            view = await self.access.reader.whole_room(room_id)
        keys = [(MEMBER, member) for member in view.joined_members()]
        current = [view.state.get(key) for key in keys]
        events = await self.events.by_nids(e.event_nid for e in current if e)
        return {str(e.state_key): _profile(e.content) for e in events.values()}

    async def _nids(self, access: Access) -> Mapping[tuple[str, str], int]:
        return await self.access.reader.state_at(access.view, access.up_to)

    async def _shown(
        self, requester: Requester, access: Access, nids: Collection[int]
    ) -> list[bytes]:
        found = await self.events.by_nids(nids)
        return await self.shown_events(requester, access, [found[nid] for nid in nids])

    async def shown_events(
        self, requester: Requester, access: Access, events: Sequence[StoredEvent]
    ) -> list[bytes]:
        """*events* as client events."""
        viewer = await self.access.visibility.viewer(access.view, requester.user_id)
        audience = Audience(viewer, requester.device_id)
        return await self.serializer.client_events(access.view, events, audience)


def _profile(content: Mapping[str, Any]) -> dict[str, str]:
    names = {"display_name": "displayname", "avatar_url": "avatar_url"}
    return {
        shown: value
        for shown, key in names.items()
        if isinstance(value := content.get(key), str)
    }
