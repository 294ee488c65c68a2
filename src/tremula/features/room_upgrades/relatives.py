"""Other rooms that name an upgraded room: spaces, and rooms that its members may join.

Where whoever upgrades it may change them they name its successor, else they stay.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import RoomId, UserId, server_of
from tremula.rooms import memberships_storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft, StoredEvent
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView

CHILD: Final = "m.space.child"
JOIN_RULES: Final = "m.room.join_rules"

_ROOMS_AT_ONCE: Final = 500

_log = structlog.get_logger(__name__)


class Relatives(Struct, frozen=True):
    """Finds them among the rooms that a user is joined to."""

    db: Reader
    memberships: Memberships
    rooms: Rooms
    reader: RoomReader
    events: EventStore

    async def follow(
        self, user_id: UserId, old: RoomView, successor_id: RoomId
    ) -> None:
        """Have spaces list the successor in place of *old*, and let its members join
        what those of *old* may, as far as *user_id* has the power.
        """
        joined = await self.memberships.joined_by(user_id)
        nids = [
            nid
            for nid, room_id in joined.items()
            if room_id not in {old.room_id, successor_id}
        ]
        for start in range(0, len(nids), _ROOMS_AT_ONCE):
            part = nids[start : start + _ROOMS_AT_ONCE]
            naming = await memberships_storage.naming_nids(self.db, part, old.room_id)
            found = await self.events.by_nids(naming)
            for nid, event in found.items():
                drafts = _changes(user_id, event, old.room_id, successor_id)
                if drafts:
                    await self._change(joined[naming[nid]], drafts)

    async def _change(self, room_id: RoomId, drafts: list[Draft]) -> None:
        try:
            view = await self.reader.get_room(room_id)
            if view.power_levels.can_send(
                drafts[0].sender, drafts[0].type, is_state=True
            ):
                await self.rooms.append(room_id, drafts)
        except MatrixError as error:
            _log.info("relative_left_as_it_is", room_id=room_id, reason=error.message)


def _changes(
    user_id: UserId, event: StoredEvent, old_id: RoomId, successor_id: RoomId
) -> list[Draft]:
    """What makes a room name the successor where *event* names the old one."""
    content = event.content
    if event.type == JOIN_RULES:
        if not _names(content, old_id):
            return []
        rule = {"type": "m.room_membership", "room_id": successor_id}
        if rule in content["allow"]:
            return []
        # Whoever has not come along may still join.
        widened = {**content, "allow": [*content["allow"], rule]}
        return [Draft(JOIN_RULES, user_id, widened, "")]
    if event.state_key != old_id or not content.get("via"):
        return []
    child = {**content, "via": [server_of(user_id)]}
    return [
        Draft(CHILD, user_id, child, successor_id),
        Draft(CHILD, user_id, {}, old_id),
    ]


def _names(join_rules: Mapping[str, Any], room_id: RoomId) -> bool:
    allow = join_rules.get("allow")
    return isinstance(allow, list) and any(
        isinstance(rule, dict)
        and rule.get("type") == "m.room_membership"
        and rule.get("room_id") == room_id
        for rule in allow
    )
