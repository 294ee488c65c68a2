"""Single rooms in a few words (CS getRoomSummary)."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tremula.features.directory.service import Directory
from tremula.features.spaces.onlookers import UserOnlooker, UserOnlookers
from tremula.features.spaces.remote import Budget
from tremula.features.spaces.walking import Lookup, Place
from tremula.infra.clock import Clock
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import (
    ServerName,
    UserId,
    parse_room_alias,
    parse_room_id,
    server_of,
)


class RoomSummaries(Struct, frozen=True):
    """Sums up rooms, of other servers too: but for our users only."""

    lookup: Lookup
    onlookers: UserOnlookers
    directory: Directory
    clock: Clock

    async def of_user(
        self, user_id: UserId, room: str, via: Sequence[ServerName]
    ) -> dict[str, Any]:
        """A room, by its ID or alias, for *user_id*.

        Raises:
            NotFound: there is no such room, or nothing that the user may know of it.
            InvalidParam: *room* is no ID, and no alias.
            Forbidden, Unknown: the server of the alias does not help.
        """
        place = await self._place(room, via)
        servers = await self.onlookers.servers(user_id, place.room_id)
        place = Place(place.room_id, (*place.via, *servers))
        user = await self.onlookers.of(user_id)
        summary = await self._summary(place, user, Budget.of(self.clock))
        return summary | {"membership": user.memberships.get(place.room_id, "leave")}

    async def of_anyone(self, room: str) -> dict[str, Any]:
        """A room of this server, by its ID or alias, for who is not known.

        Raises:
            NotFound: there is no such room, or nothing that everyone may know of it.
            InvalidParam: *room* is no ID, and no alias.
        """
        if room.startswith("#"):
            alias = parse_room_alias(room)
            if server_of(alias) != self.directory.server_name:
                raise NotFound("Log in to ask other servers.")
        place = await self._place(room, ())
        return await self._summary(place, UserOnlooker({}), Budget.none(self.clock))

    async def _place(self, room: str, via: Sequence[ServerName]) -> Place:
        if not room.startswith("#"):
            return Place(parse_room_id(room), tuple(via))
        target = await self.directory.resolve(parse_room_alias(room))
        return Place(target.room_id, (*via, *target.servers))

    async def _summary(
        self, place: Place, user: UserOnlooker, budget: Budget
    ) -> dict[str, Any]:
        found = await self.lookup.find(place, user, budget)
        if found is None:
            raise NotFound("Room not found.")
        return dict(found.summary)
