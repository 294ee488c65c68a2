"""The log of whose devices changed, and who is told at once."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from tremula.features.device_lists import storage
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import DeviceId, UserId, server_of
from tremula.rooms.sharing import MembersOfRooms, SharedRooms

TOPIC: Final = "device_list"
"""Announced with the user ID as key and a `DeviceListChange` as payload."""


class DeviceListChange(Struct, frozen=True):
    """What changed of a user: devices that came, changed or went, and whether the
    cross-signing keys did.
    """

    device_ids: tuple[DeviceId, ...] = ()
    signing_keys: bool = False


OwnListener = Callable[[JournalUnit, UserId, DeviceListChange], None]
"""Adds to the unit what is to be stored with a change of one of our own users."""


class DeviceLists(Struct, frozen=True):
    """Records changes of device lists, of our users and of other servers'."""

    shared: SharedRooms
    on_own_change: OwnListener

    async def changed(
        self, unit: JournalUnit, user_id: UserId, change: DeviceListChange
    ) -> None:
        """The keys of *user_id* change with *unit*: who shares a room is to know.

        Takes a position at its end: to be awaited just before the commit, and before
        anything else that takes one.
        """
        self.record(unit, user_id, change, await self.audience(user_id))

    async def audience(self, user_id: UserId) -> MembersOfRooms:
        """Who is told of a change of *user_id*: they and those who share a room."""
        rooms = await self.shared.of_user(user_id)
        members = (view.joined_members() for view in rooms)
        return MembersOfRooms(({user_id}, *members))

    def record(
        self,
        unit: JournalUnit,
        user_id: UserId,
        change: DeviceListChange,
        audience: MembersOfRooms,
    ) -> None:
        """As `changed`, for whoever has asked for the audience before."""
        pos = unit.pos()
        storage.upsert_change(unit, user_id, pos=pos)
        if server_of(user_id) == self.shared.own:
            self.on_own_change(unit, user_id, change)
        unit.announce(TOPIC, user_id, change, pos=pos)
        unit.wake(audience)
