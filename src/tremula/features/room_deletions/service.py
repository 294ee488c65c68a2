"""Deletes rooms: everybody of ours leaves, other servers are told, then all rows go."""

import asyncio
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from tremula.features.blocked_rooms.service import BlockedRooms
from tremula.features.directory.service import Directory
from tremula.features.room_deletions import storage
from tremula.features.room_deletions.storage import Deletion
from tremula.features.search.service import Search
from tremula.infra.clock import Clock
from tremula.infra.db import Database
from tremula.infra.federation import outbox_storage
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.infra.slots import Slots
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms import memberships_storage, purging
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER

__all__ = ["TOPIC", "Deletion", "RoomDeletions"]

TOPIC: Final = "room_deletion"
"""Announced with the ID of a room that is to be deleted as key."""

_LOOK_AGAIN_S: Final = 60.0
# Servers that are gone are not waited for.
_TELLING_MS_MAX: Final = 3_600_000

_log = structlog.get_logger(__name__)


class Collaborators(Struct, frozen=True):
    """What a deletion takes: who is in the room, how they leave, where it is listed and
    found.
    """

    rooms: Rooms
    reader: RoomReader
    directory: Directory
    blocked: BlockedRooms
    search: Search


class RoomDeletions:
    """A background task; ``run`` is meant for the supervisor.

    The holder of the room's slot does it, and goes on where another was stopped.
    """

    def __init__(
        self,
        db: Database,
        journal: Journal,
        slots: Slots,
        clock: Clock,
        collaborators: Collaborators,
    ) -> None:
        self._db = db
        self._journal = journal
        self._slots = slots
        self._clock = clock
        self._with = collaborators
        self._locks: KeyedLocks[RoomId] = KeyedLocks()
        self._is_wanted = asyncio.Event()
        journal.subscribe(TOPIC, self._on_request)
        slots.on_taken(lambda _: self._is_wanted.set())

    async def request(self, room_id: RoomId, *, stays_blocked: bool) -> None:
        """Have a room deleted, which nobody of ours gets into until that is done.

        *stays_blocked*: nor afterwards.

        Raises:
            NotFound: this server knows no such room.
        """
        view = await self._with.reader.get_room(room_id)
        was_blocked = await self._with.blocked.is_blocked(room_id)
        now_ms = self._clock.now_ms()
        unit = self._journal.unit()
        deletion = Deletion(room_id, view.nid, stays_blocked or was_blocked, now_ms)
        storage.upsert_deletion(unit, deletion)
        if stays_blocked:
            storage.update_stays_blocked(unit, room_id)
        self._with.blocked.add(unit, room_id)
        unit.announce(TOPIC, room_id, None, pos=unit.pos())
        await self._journal.commit(unit)

    async def find(self, room_id: RoomId) -> Deletion | None:
        """How far the deletion of a room is, if it was ever wanted."""
        return await storage.find_deletion(self._db, room_id)

    async def is_done(self, room_id: RoomId) -> bool:
        """Whether nothing is left of a room that was to be deleted."""
        deletion = await self.find(room_id)
        return deletion is not None and deletion.done_ts_ms is not None

    async def run(self) -> None:
        """Delete what is to be deleted, for ever."""
        while True:
            self._is_wanted.clear()
            await self.work_off()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._is_wanted.wait()

    async def work_off(self) -> None:
        """Take every deletion whose slot is held here as far as it can get now."""
        for deletion in await storage.undone_deletions(self._db):
            if self._slots.holds(deletion.room_id):
                async with self._locks.of(deletion.room_id):
                    await self._go_on(deletion.room_id)

    def _on_request(self, _pos: int, _key: Hashable, _payload: object) -> None:
        self._is_wanted.set()

    async def _go_on(self, room_id: RoomId) -> None:
        deletion = await self.find(room_id)
        if deletion is None or deletion.done_ts_ms is not None:
            return
        if deletion.emptied_ts_ms is None:
            await self._empty(deletion)
            unit = self._journal.unit()
            now_ms = self._clock.now_ms()
            storage.update_emptied(unit, room_id, ts_ms=now_ms)
            await self._journal.commit(unit)
            deletion = replace(deletion, emptied_ts_ms=now_ms)
        if await self._is_being_told(deletion):
            return
        if not await purging.close_room(self._slots, room_id):
            await self._empty(deletion)
            return
        await purging.purge_rows(self._db, room_id, deletion.room_nid)
        await self._with.search.forget_room(deletion.room_nid)
        # Somebody may have asked since for the room to stay blocked.
        deletion = await self.find(room_id) or deletion
        unit = self._journal.unit()
        storage.update_done(unit, room_id, ts_ms=self._clock.now_ms())
        if not deletion.stays_blocked:
            self._with.blocked.remove(unit, room_id)
        await self._journal.commit(unit)
        _log.info("room_deleted", room_id=room_id)

    async def _empty(self, deletion: Deletion) -> None:
        view = await self._with.reader.find_room(deletion.room_id)
        if view is None:
            return
        await self._with.directory.forget(view)
        stubborn: set[UserId] = set()
        while True:
            users = await memberships_storage.users_not_gone(self._db, view.nid)
            if not set(users) - stubborn:
                return
            if not stubborn and await self._leave(deletion.room_id, users):
                continue
            for user_id in users:
                if not await self._leave(deletion.room_id, [user_id]):
                    stubborn.add(user_id)

    async def _leave(self, room_id: RoomId, users: Sequence[UserId]) -> bool:
        """Have all of *users* leave at once; whether the room's rules let them."""
        leaves = [
            Draft(
                type=MEMBER,
                sender=user_id,
                content={"membership": "leave"},
                state_key=user_id,
            )
            for user_id in users
        ]
        try:
            await self._with.rooms.append(room_id, leaves)
        except MatrixError as error:
            _log.info("rooms_not_left", users=len(users), reason=error.message)
            return False
        return True

    async def _is_being_told(self, deletion: Deletion) -> bool:
        """Whether other servers do not know yet that our users have left."""
        assert deletion.emptied_ts_ms is not None
        if self._clock.now_ms() - deletion.emptied_ts_ms >= _TELLING_MS_MAX:
            return False
        return await outbox_storage.is_unsent(self._db, deletion.room_nid)
