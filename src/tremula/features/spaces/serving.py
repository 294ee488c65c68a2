"""What other servers are told of spaces and rooms."""

from typing import Final

import orjson
from msgspec import Struct

from tremula.features.spaces.onlookers import ServerOnlooker
from tremula.features.spaces.space_rooms import OwnRooms, SpaceRoom, summary_of
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import RoomId, ServerName

_CHILDREN_BYTES_MAX: Final = 1024 * 1024


class SpacesForServers(Struct, frozen=True):
    """Tells other servers of the rooms that they may know of."""

    rooms: OwnRooms

    async def hierarchy(
        self, origin: ServerName, room_id: RoomId, *, suggested_only: bool
    ) -> bytes:
        """The answer of SS getSpaceHierarchy, ready JSON.

        Raises:
            NotFound: there is no such room, or *origin* may not know of it.
        """
        onlooker = ServerOnlooker(origin, self.rooms)
        view = await self.rooms.find(room_id)
        if view is None or not await onlooker.may_see(view):
            raise NotFound("Unknown room.")
        room = await self.rooms.read(view)
        shown, hidden = await self._children(
            onlooker, room, suggested_only=suggested_only
        )
        return b'{"children":[%b],"inaccessible_children":%b,"room":%b}' % (
            b",".join(shown),
            orjson.dumps(hidden),
            room.to_json(suggested_only=suggested_only),
        )

    async def _children(
        self, onlooker: ServerOnlooker, room: SpaceRoom, *, suggested_only: bool
    ) -> tuple[list[bytes], list[RoomId]]:
        """The summaries of a space's children, and those that are none of *onlooker*'s
        business. "Rooms which the responding server cannot provide details on will be
        outright excluded".
        """
        shown: list[bytes] = []
        hidden: list[RoomId] = []
        size_bytes = 0
        for child in room.children:
            if suggested_only and not child.suggested:
                continue
            view = await self.rooms.find(child.room_id)
            if view is None:
                continue
            if not await onlooker.may_see(view):
                hidden.append(child.room_id)
                continue
            summary = orjson.dumps(summary_of(view))
            size_bytes += len(summary)
            # What is left out is asked for by itself.
            if size_bytes <= _CHILDREN_BYTES_MAX:
                shown.append(summary)
        return shown, hidden
