"""Replaces a room by one of another version."""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.features.directory.service import CANONICAL_ALIAS, Directory
from tremula.features.membership.service import MemberFields
from tremula.features.room_upgrades.personal_settings import PersonalSettings
from tremula.features.room_upgrades.plan import (
    POWER_LEVELS,
    TOMBSTONE,
    Successor,
    Upgrade,
    silenced_content,
    successor_events,
)
from tremula.features.room_upgrades.relatives import Relatives
from tremula.protocol.errors import Forbidden, MatrixError
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView

_CARRIED_AT_ONCE: Final = 100

_log = structlog.get_logger(__name__)


class RoomUpgrades(Struct, frozen=True):
    """Makes a room's successor and closes the old one."""

    rooms: Rooms
    reader: RoomReader
    events: EventStore
    directory: Directory
    member_fields: MemberFields
    settings: PersonalSettings
    relatives: Relatives

    async def upgrade(
        self,
        user_id: UserId,
        room_id: RoomId,
        version: RoomVersion,
        *,
        additional_creators: Sequence[UserId],
    ) -> RoomId:
        """Make the successor of a room, move its aliases and close it; other rooms name
        the successor, where *user_id* may change that.

        Raises:
            Forbidden: *user_id* may not send a tombstone to the room.
        """
        old = await self.reader.get_joined(room_id, user_id)
        if not old.power_levels.can_send(user_id, TOMBSTONE, is_state=True):
            raise Forbidden(f"{user_id} may not upgrade this room")
        newest = await self.events.backwards(old.nid, limit=1)
        upgrade = Upgrade(
            old=old,
            version=version,
            creator=user_id,
            fields=await self.member_fields(user_id),
            additional_creators=tuple(dict.fromkeys(additional_creators)),
            last_event_id=newest[0].event_id,
        )
        successor = await self._make(version, successor_events(upgrade))
        successor_id = successor.room_id
        await self.directory.move(old, successor)
        await self._close(user_id, old, successor_id)
        await self.relatives.follow(user_id, old, successor_id)
        await self.settings.carry_over(user_id, old, successor)
        return successor_id

    async def _make(self, version: RoomVersion, events: Successor) -> RoomView:
        successor_id = await self.rooms.create(version, events.first)
        for start in range(0, len(events.carried), _CARRIED_AT_ONCE):
            part = events.carried[start : start + _CARRIED_AT_ONCE]
            await self.rooms.append(successor_id, part)
        if events.last:
            await self.rooms.append(successor_id, events.last)
        return await self.reader.get_room(successor_id)

    async def _close(
        self, user_id: UserId, old: RoomView, successor_id: RoomId
    ) -> None:
        tombstone = {
            "body": "This room has been replaced",
            "replacement_room": successor_id,
        }
        await self._set(user_id, old, TOMBSTONE, tombstone)
        # CS "Room Upgrades": the rest "if possible".
        if old.content_of(CANONICAL_ALIAS):
            await self._try_to_set(user_id, old, CANONICAL_ALIAS, {})
        await self._try_to_set(user_id, old, POWER_LEVELS, silenced_content(old))

    async def _try_to_set(
        self, user_id: UserId, old: RoomView, event_type: str, content: dict[str, Any]
    ) -> None:
        try:
            await self._set(user_id, old, event_type, content)
        except MatrixError as error:
            _log.info(
                "old_room_left_open",
                room_id=old.room_id,
                type=event_type,
                reason=error.message,
            )

    async def _set(
        self, user_id: UserId, old: RoomView, event_type: str, content: dict[str, Any]
    ) -> None:
        draft = Draft(type=event_type, sender=user_id, content=content, state_key="")
        await self.rooms.append(old.room_id, [draft])
