"""Who may read a room, and up to which of its events."""

from msgspec import Struct

from tremula.protocol.errors import Forbidden
from tremula.protocol.history_visibility import History
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Visibility


class Access(Struct, frozen=True):
    """What a user may read of a room: its state after position ``up_to``, and those
    events up to it that are visible to them.
    """

    view: RoomView
    up_to: int
    membership: str | None

    @property
    def is_current(self) -> bool:
        """Whether the current state is the user's to read."""
        return self.up_to >= self.view.room_pos


class RoomAccess(Struct, frozen=True):
    """Decides who may read a room at all.

    With ``forgets_left`` every room that is left counts as forgotten (CS
    "``m.forget_forced_upon_leave`` capability").
    """

    reader: RoomReader
    memberships: Memberships
    visibility: Visibility
    forgets_left: bool = False

    async def reading(self, user_id: UserId, room_id: RoomId) -> Access:
        """What *user_id* may read of a room.

        A member reads all, a former member who has not forgotten the room up to
        when they left, anyone a world-readable room. No query for members.

        Raises:
            Forbidden: none of these, or there is no such room.
        """
        view = await self.reader.find_room(room_id)
        if view is None:
            raise Forbidden(f"{user_id} is not in room {room_id}")
        membership = view.membership(user_id)
        if membership == "join" or view.history_visibility == "world_readable":
            return Access(view, view.room_pos, membership)
        if membership in {"leave", "ban"}:
            left_pos = await self._left_pos(view, user_id)
            if left_pos is not None:
                return Access(view, left_pos, membership)
        raise Forbidden(f"{user_id} is not in room {room_id}")

    async def reading_whole(self, user_id: UserId, room_id: RoomId) -> Access:
        """As `reading`, once all members of the room are known.

        Raises:
            Forbidden: as `reading`.
            NotFound: this server has left before it knew them.
            Unknown: (504) that takes too long.
        """
        access = await self.reading(user_id, room_id)
        if access.view.partial is None:
            return access
        await self.reader.whole_room(room_id)
        return await self.reading(user_id, room_id)

    async def _left_pos(self, view: RoomView, user_id: UserId) -> int | None:
        if self.forgets_left:
            return None
        room = (await self.memberships.of_user(user_id)).get(view.nid)
        if room is None or room.forgotten:
            return None
        viewer = await self.visibility.viewer(view, user_id)
        return end_of_last_stay(viewer.memberships)


def end_of_last_stay(memberships: History) -> int | None:
    """Where a user's last time as a joined member ended; None if there was none."""
    end = None
    for pos, membership in reversed(memberships):
        if membership == "join":
            return end
        end = pos
    return None
