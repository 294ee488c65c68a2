"""Which application services users matter to, beyond what happens in one room."""

from collections.abc import Collection

from msgspec import Struct

from tremula.features.appservice_transactions.interest import NOBODY, Interests
from tremula.protocol.identifiers import RoomId, ServerName, UserId, server_of
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.sharing import SharedRooms


class Surroundings(Struct, frozen=True):
    """Finds those who are interested in some room with a user, of any server."""

    own: ServerName
    interests: Interests
    reader: RoomReader
    memberships: Memberships
    shared: SharedRooms

    async def in_room(self, room_id: RoomId) -> frozenset[str]:
        """The IDs of those who are told what happens in a room."""
        view = await self.reader.find_room(room_id)
        return NOBODY if view is None else await self.interests.in_room(view)

    async def around(self, user_id: UserId, wanted: frozenset[str]) -> frozenset[str]:
        """Those of *wanted* whose user it is, or who are interested in a room that the
        user is in. Looks at no more rooms than it takes.
        """
        found = self.interests.of_user(user_id) & wanted
        if found == wanted:
            return found
        for room_id in await self._rooms_with(user_id):
            found |= await self.in_room(room_id) & wanted
            if found == wanted:
                break
        return found

    async def _rooms_with(self, user_id: UserId) -> Collection[RoomId]:
        if server_of(user_id) == self.own:
            return (await self.memberships.joined_by(user_id)).values()
        shared = (await self.shared.with_remote([user_id])).get(user_id)
        if shared is None:
            return ()
        return (await self.reader.room_ids(shared.room_nids)).values()
