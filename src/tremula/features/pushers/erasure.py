"""Forgets where the owner of a closed account was notified."""

from msgspec import Struct

from tremula.features.pushers import mail_storage, storage
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId


class PusherErasure(Struct, frozen=True):
    """For those who close accounts."""

    journal: Journal

    async def erase(self, user_id: UserId) -> None:
        """Remove the pushers of *user_id*, also those that no device has set."""
        unit = self.journal.unit()
        storage.delete_of_user(unit, user_id)
        mail_storage.delete_mailed_rooms(unit, user_id)
        await self.journal.commit(unit)
