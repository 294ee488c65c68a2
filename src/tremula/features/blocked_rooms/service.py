"""Keeps our users out of rooms that an administrator has blocked."""

from msgspec import Struct

from tremula.features.blocked_rooms import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Reader, Unit
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import RoomId


class BlockedRooms(Struct, frozen=True):
    """Nobody joins, knocks on or is invited to a blocked room; who is in it stays."""

    db: Reader
    journal: Journal
    clock: Clock

    async def check(self, room_id: RoomId) -> None:
        """Refuse to let one of our users into a room that is blocked.

        Raises:
            Forbidden: it is.
        """
        if await self.is_blocked(room_id):
            raise Forbidden("this room is blocked on this server")

    async def is_blocked(self, room_id: RoomId) -> bool:
        """Whether a room is blocked, be it known here or not."""
        return await storage.is_blocked(self.db, room_id)

    def add(self, unit: Unit, room_id: RoomId) -> None:
        """Block a room, with a unit."""
        storage.insert_blocked(unit, room_id, ts_ms=self.clock.now_ms())

    def remove(self, unit: Unit, room_id: RoomId) -> None:
        """Block a room no longer, with a unit."""
        storage.delete_blocked(unit, room_id)

    async def block(self, room_id: RoomId) -> None:
        """Block a room; safe to repeat."""
        unit = self.journal.unit()
        self.add(unit, room_id)
        await self.journal.commit(unit)

    async def unblock(self, room_id: RoomId) -> None:
        """Block a room no longer; safe to repeat."""
        unit = self.journal.unit()
        self.remove(unit, room_id)
        await self.journal.commit(unit)
