"""Successors whose rooms do not name them: the server went down in between."""

from typing import Final

from msgspec import Struct

from tremula.features.room_upgrades.plan import TOMBSTONE, Upgrade, create_content
from tremula.protocol.identifiers import EventId
from tremula.rooms import memberships_storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

_ROOMS_AT_ONCE: Final = 500


class Orphans(Struct, frozen=True):
    """Finds them among the rooms that a user has made."""

    memberships: Memberships
    reader: RoomReader
    events: EventStore

    async def find(self, upgrade: Upgrade) -> RoomView | None:
        """What this very upgrade has made before: nobody else has come in yet."""
        joined = await self.memberships.joined_by(upgrade.creator)
        nids = [nid for nid in joined if nid != upgrade.old.nid]
        for start in range(0, len(nids), _ROOMS_AT_ONCE):
            created = await memberships_storage.created_nids(
                self.events.db, nids[start : start + _ROOMS_AT_ONCE], upgrade.creator
            )
            found = await self.events.by_nids(created)
            for nid, event in found.items():
                if not await self._is_of(event, upgrade):
                    continue
                view = await self.reader.find_room(joined[created[nid]])
                if view is not None and view.joined_members() == {upgrade.creator}:
                    return view
        return None

    async def _is_of(self, create: StoredEvent, upgrade: Upgrade) -> bool:
        """Whether a room was made as the successor since the last tombstone."""
        predecessor = create.content.get("predecessor")
        if not isinstance(predecessor, dict):
            return False
        wanted = {**create_content(upgrade), "predecessor": predecessor}
        if create.content != wanted:
            return False
        if predecessor.get("room_id") != upgrade.old.room_id:
            return False
        last = await self.events.find(
            upgrade.old.nid, EventId(str(predecessor.get("event_id")))
        )
        tombstone = upgrade.old.state.get((TOMBSTONE, ""))
        return last is not None and (
            tombstone is None or last.room_pos >= tombstone.room_pos
        )
