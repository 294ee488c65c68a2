"""Who may see whose presence: people who share a room."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Final

from msgspec import Struct

from tremula.protocol.identifiers import ServerName, UserId
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

# Members of larger rooms, and of further ones, are not woken for one of them: they
# see the news when something else happens, or when they next ask.
WOKEN_MEMBERS_MAX: Final = 100
WOKEN_ROOMS_MAX: Final = 50


class Members(Struct, frozen=True):
    """The members of the rooms ``room_nids``, without a copy of them."""

    room_nids: tuple[int, ...]
    rooms: tuple[AbstractSet[UserId], ...]

    @classmethod
    def of(cls, views: Iterable[RoomView], *others: UserId) -> "Members":
        """Those of *views*, and *others*."""
        rooms = {view.nid: view.joined_members() for view in views}
        return cls(tuple(rooms), (*rooms.values(), frozenset(others)))

    def __len__(self) -> int:
        return sum(map(len, self.rooms))

    def __iter__(self) -> Iterator[UserId]:
        return chain.from_iterable(self.rooms)

    def __contains__(self, user_id: object) -> bool:
        return any(user_id in members for members in self.rooms)


class Audience(Struct, frozen=True):
    """Answers by memberships, which are in memory for those who are active."""

    reader: RoomReader
    memberships: Memberships

    async def may_see(self, viewer: UserId, user_id: UserId) -> bool:
        """Whether *viewer* is *user_id* or shares a room with them."""
        if viewer == user_id:
            return True
        rooms = await self.memberships.of_user(viewer)
        return _share(rooms, await self.memberships.of_user(user_id))

    async def is_in_any(self, user_id: UserId, room_nids: Iterable[int]) -> bool:
        """Whether our user *user_id* is in one of these rooms."""
        joined = await self.memberships.joined_by(user_id)
        return any(nid in joined for nid in room_nids)

    async def servers(self, user_id: UserId) -> set[ServerName]:
        """The servers in the rooms of our user *user_id* that are in memory."""
        found: set[ServerName] = set()
        for room_id in (await self.memberships.joined_by(user_id)).values():
            view = self.reader.find_loaded(room_id)
            if view is not None:
                found |= view.joined_servers.keys()
        return found

    async def to_wake(self, user_id: UserId) -> Members:
        """Who is told at once when the presence of *user_id* changes."""
        rooms = await self.memberships.of_user(user_id)
        joined = [room.room_id for room in rooms.values() if room.membership == "join"]
        found: list[RoomView] = []
        for room_id in joined[:WOKEN_ROOMS_MAX]:
            view = await self.reader.find_room(room_id)
            if view is not None and view.joined_count <= WOKEN_MEMBERS_MAX:
                found.append(view)
        return Members.of(found, user_id)


def _share(rooms: Mapping[int, UserRoom], others: Mapping[int, UserRoom]) -> bool:
    """Whether one room is joined in both; costs what the shorter one holds."""
    if len(rooms) > len(others):
        rooms, others = others, rooms
    return any(
        room.membership == "join"
        and (other := others.get(nid)) is not None
        and other.membership == "join"
        for nid, room in rooms.items()
    )
