"""What application services may do in rooms whose rules they do not have to ask."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tremula.features.appservices.service import Appservice, Appservices
from tremula.infra.http import Requester
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

_LEVELS: Final = "m.room.power_levels"


class Authority(Struct, frozen=True):
    """Nobody's rooms and nobody's names but its own are open to an application service.

    It acts through one of its users who is in the room, in rooms that don't federate
    and are its own, and for users of this server that it may masquerade as.
    """

    appservices: Appservices
    reader: RoomReader
    server_name: ServerName

    def appservice(self, requester: Requester) -> Appservice:
        """The application service that makes the request.

        Raises:
            Forbidden: it is somebody else.
        """
        found = None
        if requester.appservice_id is not None:
            found = self.appservices.find(requester.appservice_id)
        if found is None:
            raise Forbidden("Only application services may do this")
        return found

    async def own_room(self, requester: Requester, room_id: RoomId) -> RoomView:
        """A room that doesn't federate, and is the application service's own.

        Raises:
            Forbidden: it is no such room.
        """
        view = await self.ruled_room(requester, room_id)
        if view.is_federated:
            raise Forbidden(
                "This room may federate: create it with m.federate set to false"
            )
        return view

    async def ruled_room(self, requester: Requester, room_id: RoomId) -> RoomView:
        """A room that the requester is in, and that one of the application service's
        users has made, or the requester may set the power levels of.

        Raises:
            Forbidden: it is no such room.
        """
        appservice = self.appservice(requester)
        view = await self.reader.get_joined(room_id, requester.user_id)
        levels = view.power_levels
        if not (
            appservice.may_act_as(UserId(view.create.sender))
            or levels.user(requester.user_id) >= levels.event(_LEVELS, is_state=True)
        ):
            raise Forbidden("This room is not the application service's own")
        return view

    async def may_force(
        self, requester: Requester, room_id: RoomId, user_id: UserId
    ) -> bool:
        """Whether the requester may make of *user_id*, another one, what it likes."""
        if user_id == requester.user_id:
            return False
        try:
            await self.own_room(requester, room_id)
        except Forbidden:
            return False
        return self.speaks_for(self.appservice(requester), user_id)

    def speaks_for(self, appservice: Appservice, user_id: UserId) -> bool:
        """Whether *appservice* may act as *user_id*, a user of this server."""
        is_ours = server_of(user_id) == self.server_name
        return is_ours and self.appservices.may_speak_for(appservice, user_id)

    def check_users(self, appservice: Appservice, user_ids: Iterable[UserId]) -> None:
        """Refuse to let *appservice* act as somebody who is not its own.

        Raises:
            Forbidden: one of *user_ids* is not.
        """
        for user_id in dict.fromkeys(user_ids):
            if not self.speaks_for(appservice, user_id):
                raise Forbidden(f"{appservice.id} may not act as {user_id}")
