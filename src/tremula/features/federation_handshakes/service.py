"""Memberships for which other servers have to be asked."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tremula.features.federation_handshakes.departing import OutsideWishes
from tremula.features.federation_handshakes.inviting import OutgoingInvitations
from tremula.features.federation_handshakes.joining import RemoteJoins
from tremula.features.federation_handshakes.residents import Candidates
from tremula.features.federation_handshakes.templates import Wish
from tremula.protocol.errors import InvalidParam, NotFound
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    parse_room_id,
    server_of,
)
from tremula.rooms.events import Draft
from tremula.rooms.outside import OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

_AWAITING = frozenset({"invite", "knock"})


class RemoteMemberships(Struct, frozen=True):
    """Joins, leaves and knocks in rooms that this server is not in; invites users of
    other servers to those that it is in.
    """

    joins: RemoteJoins
    wishes: OutsideWishes
    inviting: OutgoingInvitations
    outside: OutsideRooms
    reader: RoomReader
    own: ServerName

    def is_resident(self, view: RoomView | None) -> bool:
        """Whether this server is in the room, so that it knows what goes on there."""
        return view is not None and self.own in view.joined_servers

    def can_admit(self, view: RoomView | None, user_id: UserId) -> bool:
        """Whether this server is in the room and knows what *user_id* is to it."""
        return (
            view is not None and self.own in view.joined_servers and view.knows(user_id)
        )

    def is_local(self, user_id: UserId) -> bool:
        """Whether *user_id* is a user of this server."""
        return server_of(user_id) == self.own

    async def join(
        self,
        user_id: UserId,
        room_id: RoomId,
        content: Mapping[str, Any],
        via: Iterable[str],
    ) -> bool:
        """Join through one of the servers *via*, or others that may be in the room.

        False if meanwhile this server has come into the room, so that a local join
        will do.

        Raises:
            NotFound: nobody knows the room, or there is nobody to ask.
            Forbidden, UnableToAuthoriseJoin, UnableToGrantJoin: the room's rules.
            IncompatibleRoomVersion, UnsupportedRoomVersion: the room's version.
            Unknown: (502) no server helps.
        """
        candidates = await self._candidates(user_id, room_id, via)
        return await self.joins.join(Wish(room_id, user_id, content), candidates)

    async def knock(
        self,
        user_id: UserId,
        room_id: RoomId,
        content: Mapping[str, Any],
        via: Iterable[str],
    ) -> None:
        """Ask to be let in, through servers as `join` does.

        Raises:
            MatrixError: as `join`.
        """
        candidates = await self._candidates(user_id, room_id, via)
        await self.wishes.knock(Wish(room_id, user_id, content), candidates)

    async def leave(
        self, user_id: UserId, room_id: RoomId, content: Mapping[str, Any]
    ) -> bool:
        """Refuse an invitation, or take back a knock; False if there is none such."""
        before = await self.outside.find(user_id, room_id)
        if before is None:
            return False
        if before.membership in _AWAITING:
            candidates = await self._candidates(user_id, room_id, ())
            await self.wishes.leave(before, Wish(room_id, user_id, content), candidates)
        return True

    async def invite(self, view: RoomView, draft: Draft) -> EventId:
        """Invite the user of another server whom *draft* names.

        Raises:
            MatrixError: as `OutgoingInvitations.send`.
        """
        return await self.inviting.send(view, draft)

    async def _candidates(
        self, user_id: UserId, room_id: RoomId, via: Iterable[str]
    ) -> Candidates:
        """Who may be in the room: as the client says, as is known, as the ID says.

        Raises:
            NotFound: *room_id* is none.
        """
        try:
            parse_room_id(room_id)
        except InvalidParam as error:
            raise NotFound(error.message) from error
        servers: list[str] = list(via)
        outside = await self.outside.find(user_id, room_id)
        if outside is not None:
            servers += outside.servers
        view = await self.reader.find_room(room_id)
        if view is not None:
            by_users = sorted(view.joined_servers.items(), key=lambda each: -each[1])
            servers += [name for name, _ in by_users]
        servers.append(server_of(room_id))
        return Candidates.of(room_id, servers, own=self.own)
