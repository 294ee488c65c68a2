"""Taking a user out of every room, when their account is closed."""

from typing import Final

import structlog
from msgspec import Struct

from tremula.features.federation_handshakes.service import RemoteMemberships
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import UserId
from tremula.rooms.events import Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.rooms import Rooms

_log = structlog.get_logger(__name__)

_LEFT_BY: Final = ("join", "invite", "knock")


class Departure(Struct, frozen=True):
    """Leaves rooms on behalf of a user who is gone."""

    rooms: Rooms
    memberships: Memberships
    remote: RemoteMemberships

    async def leave_all(self, user_id: UserId) -> None:
        """Leave every room, refuse every invite, take back every knock.

        Safe to repeat: what was left before is passed over.
        """
        for room in list((await self.memberships.of_user(user_id)).values()):
            if room.membership not in _LEFT_BY:
                continue
            content = {"membership": "leave"}
            if await self.remote.leave(user_id, room.room_id, content):
                continue
            leave = Draft(
                type="m.room.member",
                sender=user_id,
                state_key=user_id,
                content=content,
            )
            try:
                await self.rooms.append(room.room_id, [leave])
            except MatrixError as error:
                # Someone was faster, and has removed the user; or the room's policy
                # server is against it.
                _log.info("room_not_left", user_id=user_id, reason=error.message)
