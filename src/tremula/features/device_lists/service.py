"""The log of whose devices changed, and who is told at once."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.features.device_lists import storage
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import DeviceId, ServerName, UserId, server_of
from tremula.rooms.memberships import Memberships
from tremula.rooms.sharing import OwnUsersInRooms

TOPIC: Final = "device_list"
"""Announced with the user ID as key and a `DeviceListChange` as payload."""


class DeviceListChange(Struct, frozen=True):
    """What changed of a user: devices that came, changed or went, and whether the
    cross-signing keys did.
    """

    device_ids: tuple[DeviceId, ...] = ()
    signing_keys: bool = False


OwnListener = Callable[[JournalUnit, UserId, DeviceListChange, int], None]
"""Adds to the unit what is to be stored with a change of one of our own users, whose
position comes last.
"""


class DeviceLists(Struct, frozen=True):
    """Records changes of device lists, of our users and of other servers'.

    What rests on keys that were read says when it has seen them: ``seen_pos``, asked
    for before. If they have changed meanwhile, its unit fails with ``Conflict``.
    """

    db: Reader
    journal: Journal
    own: ServerName
    memberships: Memberships
    on_own_change: OwnListener

    async def seen_pos(self, user_id: UserId) -> int:
        """A position up to which what is read now has all changes of these keys.

        A process alone knows it without a query. The rooms of one of our users are in
        memory then, so that nobody else is woken by a change.
        """
        if server_of(user_id) == self.own:
            await self.memberships.joined_by(user_id)
        if self.journal.is_alone:
            return self.journal.position
        # What others have stored may be there before it is told.
        return await storage.find_change(self.db, user_id) or 0

    async def changes_after(self, pos: int) -> list[tuple[int, UserId]]:
        """``(pos, user_id)`` of each user's newest change, of those after *pos*, oldest
        first.
        """
        return await storage.changes_after(self.db, pos)

    def check_unchanged(
        self, unit: JournalUnit, user_id: UserId, *, seen_pos: int
    ) -> None:
        """Let *unit* fail if the keys of *user_id* have changed since *seen_pos*."""
        storage.check_unchanged(unit, user_id, seen_pos=seen_pos)

    def changed(
        self,
        unit: JournalUnit,
        user_id: UserId,
        change: DeviceListChange,
        *,
        room_nids: AbstractSet[int] | None = None,
        seen_pos: int | None = None,
    ) -> None:
        """The keys of *user_id* change with *unit*: who shares a room is to know.

        Of other servers' users the caller says in which rooms they are. To be called
        right before the commit: it takes a journal position.
        """
        pos = unit.pos()
        if seen_pos is None:
            storage.upsert_change(unit, user_id, pos=pos)
        else:
            storage.upsert_unless_changed(unit, user_id, seen_pos=seen_pos, pos=pos)
        if server_of(user_id) == self.own:
            joined = self.memberships.find_joined(user_id)
            room_nids = None if joined is None else joined.keys()
            self.on_own_change(unit, user_id, change, pos)
            unit.wake([user_id])
        unit.announce(TOPIC, user_id, change, pos=pos)
        unit.wake_rooms(OwnUsersInRooms(self.memberships, room_nids), room_nids)
