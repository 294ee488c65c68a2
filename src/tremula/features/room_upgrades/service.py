"""Replaces a room by one of another version."""

from typing import Any

import structlog
from msgspec import Struct

from tremula.features.directory.service import CANONICAL_ALIAS, Directory
from tremula.features.room_upgrades.personal_settings import PersonalSettings
from tremula.features.room_upgrades.plan import POWER_LEVELS, silenced_content
from tremula.features.room_upgrades.relatives import Relatives
from tremula.features.room_upgrades.successors import Successors, WantedUpgrade
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView

_log = structlog.get_logger(__name__)


class RoomUpgrades(Struct, frozen=True):
    """Has a room's successor take its place, and closes the old one."""

    successors: Successors
    rooms: Rooms
    reader: RoomReader
    directory: Directory
    settings: PersonalSettings
    relatives: Relatives

    async def upgrade(self, room_id: RoomId, wanted: WantedUpgrade) -> RoomId:
        """Make the successor of a room, move its aliases and close it; other rooms name
        the successor, where the user may change that.

        Safe to do by several who were given the same successor.

        Raises:
            Forbidden: the user may not send a tombstone to the room.
        """
        user_id = wanted.user_id
        successor_id = await self.successors.make(room_id, wanted)
        old = await self.reader.get_room(room_id)
        successor = await self.reader.get_room(successor_id)
        await self.directory.move(old, successor)
        await self._close(user_id, old)
        await self.relatives.follow(user_id, old, successor_id)
        if successor.is_joined(user_id):
            await self.settings.carry_over(user_id, old, successor)
        return successor_id

    async def _close(self, user_id: UserId, old: RoomView) -> None:
        # CS "Room Upgrades": beside the tombstone, all of this "if possible".
        if old.content_of(CANONICAL_ALIAS):
            await self._try_to_set(user_id, old, CANONICAL_ALIAS, {})
        silenced = silenced_content(old)
        if silenced != old.content_of(POWER_LEVELS):
            await self._try_to_set(user_id, old, POWER_LEVELS, silenced)

    async def _try_to_set(
        self, user_id: UserId, old: RoomView, event_type: str, content: dict[str, Any]
    ) -> None:
        draft = Draft(type=event_type, sender=user_id, content=content, state_key="")
        try:
            await self.rooms.append(old.room_id, [draft])
        except MatrixError as error:
            _log.info(
                "old_room_left_open",
                room_id=old.room_id,
                type=event_type,
                reason=error.message,
            )
