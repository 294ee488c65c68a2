"""Keeps our users out of rooms that an administrator has blocked."""

from collections.abc import Hashable
from typing import Final

from tremula.features.blocked_rooms import storage
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import RoomId

# Announced with the room ID as key; there is no payload.
TOPIC: Final = "blocked_rooms"

_CACHE_BYTES: Final = 1024 * 1024
_ENTRY_BYTES: Final = 250


class BlockedRooms:
    """Nobody joins, knocks on or is invited to a blocked room; who is in it stays.

    No query for a room that was asked for lately.
    """

    def __init__(self, db: Reader, journal: Journal, clock: Clock) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self.cache: ByteLRU[RoomId, bool] = ByteLRU(_CACHE_BYTES)
        journal.subscribe(TOPIC, self._forget)
        journal.on_forget(self.cache.clear)

    async def check(self, room_id: RoomId) -> None:
        """Refuse to let one of our users into a room that is blocked.

        Raises:
            Forbidden: it is.
        """
        if await self.is_blocked(room_id):
            raise Forbidden("this room is blocked on this server")

    async def is_blocked(self, room_id: RoomId) -> bool:
        """Whether a room is blocked, be it known here or not."""
        known = self.cache.get(room_id)
        if known is not None:
            return known
        before = self._journal.changed_pos(TOPIC, room_id)
        is_blocked = await storage.is_blocked(self._db, room_id)
        # What has changed while it was being read must not be kept.
        if self._journal.changed_pos(TOPIC, room_id) == before:
            self.cache.put(room_id, is_blocked, _ENTRY_BYTES)
        return is_blocked

    def add(self, unit: JournalUnit, room_id: RoomId) -> None:
        """Block a room, with a unit; takes a journal position."""
        storage.insert_blocked(unit, room_id, ts_ms=self._clock.now_ms())
        unit.announce(TOPIC, room_id, None, pos=unit.pos())

    def remove(self, unit: JournalUnit, room_id: RoomId) -> None:
        """Block a room no longer, with a unit; takes a journal position."""
        storage.delete_blocked(unit, room_id)
        unit.announce(TOPIC, room_id, None, pos=unit.pos())

    async def block(self, room_id: RoomId) -> None:
        """Block a room; safe to repeat."""
        unit = self._journal.unit()
        self.add(unit, room_id)
        await self._journal.commit(unit)

    async def unblock(self, room_id: RoomId) -> None:
        """Block a room no longer; safe to repeat."""
        unit = self._journal.unit()
        self.remove(unit, room_id)
        await self._journal.commit(unit)

    def _forget(self, _pos: int, room_id: Hashable, _payload: object) -> None:
        assert isinstance(room_id, str)
        self.cache.discard(RoomId(room_id))
