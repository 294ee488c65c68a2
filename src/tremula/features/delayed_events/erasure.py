"""Forgets what the owner of a closed account had scheduled."""

from msgspec import Struct

from tremula.features.delayed_events import storage
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId


class DelayedEventErasure(Struct, frozen=True):
    """For those who close accounts."""

    journal: Journal

    async def erase(self, user_id: UserId) -> None:
        """Forget all that *user_id* has scheduled, and what became of it."""
        unit = self.journal.unit()
        storage.delete_delayed_events_of(unit, user_id)
        await self.journal.commit(unit)
