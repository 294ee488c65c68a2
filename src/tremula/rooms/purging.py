"""Takes a room that none of our users is in out of memory and off the disk."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Database
from tremula.infra.db.purging import purge, tables_with
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.identifiers import RoomId
from tremula.rooms import memberships, memberships_storage, outside_storage, storage
from tremula.rooms.outside import NO_POS
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.room import Room
from tremula.rooms.staging import announce_reread

_USERS_AT_ONCE: Final = 500

_KEPT: Final = frozenset({"rooms_rooms", "rooms_memberships", "rooms_outside"})
"""What still says, as of any room that this server is not in, who has left it."""

_NOT_THE_ROOMS: Final = frozenset(
    {"blocked_rooms", "key_backup_sessions", "reports", "room_deletions"}
)
"""What speaks of a room and is somebody else's: its users' or the administrators'."""

_IN_LOWER_CASE: Final = frozenset({"push_past_rulesets"})
"""What has the room's ID as push rules compare it."""

_SLOT_KIND: Final = "room_closing"
_CALLS: Final = CallTypes(None, bool)


async def close_room(slots: Slots, room_id: RoomId) -> bool:
    """Have the owner of a room's slot forget that the room was here, unless one of our
    users is in it or invited; whether it is so now. `purge_rows` deletes what is left.
    """
    closed = await slots.call(_SLOT_KIND, room_id, None)
    assert isinstance(closed, bool)
    return closed


class Closing(Struct, frozen=True):
    """Makes a room one that this server is not in, for all processes."""

    registry: RoomRegistry
    journal: Journal
    queues: KeyedLocks[str]

    def serve(self, slots: Slots) -> None:
        """Do it where the room's slot is held."""
        slots.register(_SLOT_KIND, lambda key, _: self.close(RoomId(key)), _CALLS)

    async def close(self, room_id: RoomId) -> bool:
        """Forget the state of a room. Durable on return, and safe to repeat."""
        async with self.queues.of(room_id):
            while True:
                room = await self.registry.find(room_id)
                if room is None:
                    return True
                async with room.lock:
                    await room.settled()
                    if self.registry.holds(room):
                        with room.kept():
                            return await self._close(room)

    async def _close(self, room: Room) -> bool:
        view = room.view
        if await memberships_storage.users_not_gone(self.registry.db, view.nid):
            return False
        await self._move_outside(view.nid)
        unit = self.journal.unit()
        storage.delete_whole_state(unit, view.nid)
        announce_reread(unit, view)
        unit.on_commit(lambda: self.registry.discard(room))
        await self.journal.commit(unit)
        return True

    async def _move_outside(self, room_nid: int) -> None:
        """Keep of our users' memberships what their clients are still to be told."""
        db, after = self.registry.db, ""
        while found := await memberships_storage.memberships_in(
            db, room_nid, after=after, limit=_USERS_AT_ONCE
        ):
            users = [user_id for user_id, _ in found]
            left = await outside_storage.rows_of_left(db, room_nid, users)
            unit = self.journal.unit()
            for row in left:
                outside_storage.upsert_outside(unit, row)
            memberships_storage.update_outside(unit, room_nid, users)
            for user_id, room in found:
                outside = replace(room, room_pos=NO_POS)
                unit.announce(memberships.TOPIC, user_id, outside, pos=unit.pos())
            await self.journal.commit(unit)
            after = found[-1][0]


async def purge_rows(db: Database, room_id: RoomId, room_nid: int) -> None:
    """Delete all rows of a room that is closed; safe to repeat."""
    for referring in await tables_with(db, "room_nid"):
        if referring.table not in _KEPT | _NOT_THE_ROOMS:
            await purge(db, referring, "room_nid", room_nid)
    for referring in await tables_with(db, "room_id"):
        table = referring.table
        if table not in _KEPT | _NOT_THE_ROOMS:
            named = room_id.lower() if table in _IN_LOWER_CASE else room_id
            await purge(db, referring, "room_id", named)
