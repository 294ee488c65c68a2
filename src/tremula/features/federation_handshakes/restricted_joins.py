"""Who vouches for users of other servers (SS "Restricted rooms")."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import (
    Forbidden,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
)
from tremula.protocol.identifiers import RoomId, ServerName, UserId
from tremula.rooms.authorising import (
    allowed_rooms,
    find_authorising_user,
    has_restricted_joins,
)
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

_ROOMS_MAX: Final = 100


class RestrictedJoins(Struct, frozen=True):
    """Checks the conditions of rooms that let in the members of others."""

    reader: RoomReader
    own: ServerName

    async def authorising_user(
        self,
        view: RoomView,
        user_id: UserId,
        origin: ServerName,
        *,
        but: Collection[UserId] = (),
    ) -> UserId | None:
        """The user of this server, none of *but*, who vouches for *user_id*; None if
        nobody need.

        Raises:
            UnableToAuthoriseJoin: this server is not in the rooms that would tell.
            UnableToGrantJoin: no user of this server may invite.
            Forbidden: the user is in none of the rooms.
        """
        if not has_restricted_joins(view):
            return None
        if view.membership(user_id) in {"invite", "join", "ban"}:
            return None
        await self._check_conditions(view, user_id, origin)
        authorising = find_authorising_user(view, self.own, but=but)
        if authorising is None:
            raise UnableToGrantJoin("no user of this server may invite to the room")
        return authorising

    async def _check_conditions(
        self, view: RoomView, user_id: UserId, origin: ServerName
    ) -> None:
        rooms = allowed_rooms(view)[:_ROOMS_MAX]
        views = [await self._find_current(room_id) for room_id in rooms]
        if any(
            room and room.admits(origin) and room.is_joined(user_id) for room in views
        ):
            return
        if None in views:
            raise UnableToAuthoriseJoin(
                "this server is not in all of the rooms whose members may join"
            )
        raise Forbidden("the user is in none of the rooms whose members may join")

    async def _find_current(self, room_id: RoomId) -> RoomView | None:
        """The room, if this server is in it and so knows who else is."""
        view = await self.reader.find_room(room_id)
        return view if view is not None and self.own in view.joined_servers else None
