"""The rooms of a server as its administrators see them."""

from typing import Any, Final

from msgspec import Struct

from tremula.features.blocked_rooms.service import BlockedRooms
from tremula.features.room_deletions.service import Deletion, RoomDeletions
from tremula.infra.db import Reader
from tremula.protocol.identifiers import RoomId
from tremula.rooms import storage
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import ListedRoom

PAGE_MAX: Final = 500


class RoomOverview(Struct, frozen=True):
    """Lists and describes rooms."""

    db: Reader
    reader: RoomReader
    blocked: BlockedRooms
    deletions: RoomDeletions

    async def page(self, *, after: int, limit: int) -> list[ListedRoom]:
        """Rooms that this server is in, or was, from past the number *after*."""
        return await storage.rooms_after(
            self.db, after=after, limit=min(limit, PAGE_MAX)
        )

    async def describe(self, room_id: RoomId) -> dict[str, Any]:
        """What an administrator is told of a room, be it known here or not."""
        answer: dict[str, Any] = {
            "room_id": room_id,
            "blocked": await self.blocked.is_blocked(room_id),
        }
        view = await self.reader.find_room(room_id)
        if view is not None:
            name = (view.content_of("m.room.name") or {}).get("name")
            answer |= {
                "room_version": view.version.id,
                "creator": view.create.sender,
                "joined_members": view.joined_count,
                "joined_servers": len(view.joined_servers),
            }
            if isinstance(name, str):
                answer["name"] = name
        deletion = await self.deletions.find(room_id)
        if deletion is not None:
            answer["deletion"] = _shown(deletion)
        return answer


def _shown(deletion: Deletion) -> dict[str, int]:
    times = {
        "requested_ts_ms": deletion.requested_ts_ms,
        "emptied_ts_ms": deletion.emptied_ts_ms,
        "done_ts_ms": deletion.done_ts_ms,
    }
    return {name: ts_ms for name, ts_ms in times.items() if ts_ms is not None}
