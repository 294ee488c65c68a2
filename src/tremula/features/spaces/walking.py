"""The tree of a space, room by room (CS "Discovering rooms within spaces")."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.spaces.onlookers import UserOnlooker
from tremula.features.spaces.remote import Budget, RemoteSpaces
from tremula.features.spaces.space_rooms import OwnRooms, SpaceRoom, is_space
from tremula.infra.together import together
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.spaces import Child

ROOMS_MAX: Final = 5_000
"""How many rooms of a tree are looked at: cyclic and endless ones end here."""

_SERVERS_ASKED_MAX: Final = 3
_AT_ONCE: Final = 8


class Place(Struct, frozen=True):
    """Where a room stands in the tree, and who can tell of it."""

    room_id: RoomId
    via: tuple[ServerName, ...]
    depth: int = 0
    parent: SpaceRoom | None = None


class Lookup(Struct, frozen=True):
    """Finds rooms here, or else asks other servers."""

    rooms: OwnRooms
    remote: RemoteSpaces

    async def find(
        self, place: Place, user: UserOnlooker, budget: Budget
    ) -> SpaceRoom | None:
        """The room at *place*, if it is there for *user* to see.

        What this server knows itself counts, and else what others tell.
        """
        view = await self.rooms.find(place.room_id)
        if view is not None:
            return await self.rooms.read(view) if user.may_see(view) else None
        told = await self._told(place, budget)
        return told if told is not None and user.may_see_told(told.summary) else None

    async def _told(self, place: Place, budget: Budget) -> SpaceRoom | None:
        parent = place.parent
        beside = None
        if parent is not None:
            # "They should not be re-requested."
            if place.room_id in parent.inaccessible:
                return None
            beside = parent.told.get(place.room_id)
            if beside is not None and not is_space(beside):
                return SpaceRoom(beside)
        others = [each for each in place.via if each != self.rooms.own]
        for server_name in others[:_SERVERS_ASKED_MAX]:
            room = await self.remote.find(server_name, place.room_id, budget)
            if room is not None:
                return room
        return None if beside is None else SpaceRoom(beside)


class Walk:
    """A tree depth first, as *user* may see it. Each room comes once."""

    def __init__(
        self,
        lookup: Lookup,
        user: UserOnlooker,
        budget: Budget,
        *,
        suggested_only: bool,
        depth_max: int,
    ) -> None:
        self._lookup = lookup
        self._user = user
        self._budget = budget
        self._suggested_only = suggested_only
        self._depth_max = depth_max
        self._seen: set[RoomId] = set()
        self._found: dict[RoomId, SpaceRoom | None] = {}

    async def rooms(self, root: Place) -> AsyncGenerator[SpaceRoom, None]:
        """The rooms from *root* on; nothing if that cannot be seen."""
        ahead = [root]
        while ahead:
            place = ahead.pop()
            if place.room_id in self._seen:
                continue
            self._seen.add(place.room_id)
            if place.room_id not in self._found:
                await self._find([place, *reversed(ahead[-_AT_ONCE:])][:_AT_ONCE])
            room = self._found.pop(place.room_id)
            if room is None:
                continue
            yield room
            if place.depth < self._depth_max:
                room_for = ROOMS_MAX - len(self._seen) - len(ahead)
                ahead += reversed(self._below(place, room)[: max(room_for, 0)])

    def _below(self, place: Place, room: SpaceRoom) -> Sequence[Place]:
        return [
            Place(child.room_id, child.via, place.depth + 1, room)
            for child in room.children
            if self._is_wanted(child)
        ]

    def _is_wanted(self, child: Child) -> bool:
        is_new = child.room_id not in self._seen
        return is_new and (child.suggested or not self._suggested_only)

    async def _find(self, places: Sequence[Place]) -> None:
        """Find the rooms at *places*, the next ones, at once."""
        by_room = {
            place.room_id: place
            for place in reversed(places)
            if place.room_id not in self._found
        }
        self._found |= await together(
            {
                room_id: self._lookup.find(place, self._user, self._budget)
                for room_id, place in by_room.items()
            }
        )
