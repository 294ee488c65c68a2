"""What is left of the keys of users who are erased: nothing."""

from msgspec import Struct

from tremula.features.device_keys import storage
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId


class KeyErasure(Struct, frozen=True):
    """Removes what outlives a user's devices: cross-signing keys and signatures."""

    journal: Journal
    lists: DeviceLists

    async def erase(self, user_id: UserId) -> None:
        """Remove all keys of a user who is deactivated. Safe to repeat."""
        unit = self.journal.unit()
        storage.delete_user(unit, user_id)
        self.lists.changed(unit, user_id, DeviceListChange(signing_keys=True))
        await self.journal.commit(unit)
