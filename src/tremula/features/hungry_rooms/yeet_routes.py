"""Rooms that bridges do away with; not in the specification."""

from msgspec import Struct

from tremula.features.hungry_rooms.authority import Authority
from tremula.features.room_deletions.service import RoomDeletions
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import Forbidden, NotFound
from tremula.protocol.identifiers import RoomId


class Yeeting(Struct, frozen=True):
    """Deletes rooms for the application services that they belong to."""

    authority: Authority
    deletions: RoomDeletions

    async def is_gone(self, room_id: RoomId) -> bool:
        """Whether there is no such room, or it is about to go."""
        view = await self.authority.reader.find_room(room_id)
        return view is None or await self.deletions.find(room_id) is not None


@endpoint(
    "POST",
    "/_matrix/client/unstable/com.beeper.yeet/rooms/{room_id}/delete",
    auth=Auth.USER,
    limit="rooms",
)
async def yeet_room(req: UserRequest, yeeting: Yeeting) -> Json:
    """Delete a room of one's own. Errors: M_FORBIDDEN; M_NOT_FOUND: it is gone, or
    about to go.
    """
    room_id = RoomId(req.path["room_id"])
    yeeting.authority.appservice(req.requester)
    try:
        await yeeting.authority.ruled_room(req.requester, room_id)
    except Forbidden:
        if await yeeting.is_gone(room_id):
            raise NotFound("There is no such room") from None
        raise
    await yeeting.deletions.request(room_id, stays_blocked=False)
    return {}
