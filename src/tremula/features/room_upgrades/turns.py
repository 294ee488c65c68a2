"""Upgrades of one room, one after the other."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from tremula.features.room_upgrades.plan import TOMBSTONE
from tremula.features.room_upgrades.service import RoomUpgrades
from tremula.infra.locks import KeyedLocks
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView


class UpgradesInTurn(Struct, frozen=True):
    """Has whoever upgrades a room wait for those who do.

    With a large room it takes its time: a client that gave up waiting and asks for the
    same again, at the same process, is given the same successor.
    """

    upgrades: RoomUpgrades
    reader: RoomReader
    turns: KeyedLocks[RoomId] = field(default_factory=KeyedLocks)

    async def upgrade(
        self,
        user_id: UserId,
        room_id: RoomId,
        version: RoomVersion,
        *,
        additional_creators: Sequence[UserId],
    ) -> RoomId:
        """See `RoomUpgrades.upgrade`."""
        before = await self._tombstone(user_id, room_id)
        async with self.turns.of(room_id):
            tombstone = await self._tombstone(user_id, room_id)
            if tombstone is not None and tombstone != before:
                successor = await self._find(tombstone.get("replacement_room"))
                if successor is not None and successor.version == version:
                    return successor.room_id
            return await self.upgrades.upgrade(
                user_id, room_id, version, additional_creators=additional_creators
            )

    async def _tombstone(
        self, user_id: UserId, room_id: RoomId
    ) -> dict[str, Any] | None:
        room = await self.reader.get_joined(room_id, user_id)
        return room.content_of(TOMBSTONE)

    async def _find(self, room_id: object) -> RoomView | None:
        if not isinstance(room_id, str):
            return None
        return await self.reader.find_room(RoomId(room_id))
