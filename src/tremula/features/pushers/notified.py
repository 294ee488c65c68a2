"""What a user was notified of and has not read."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from tremula.features.push.service import Notified, NotifiedEvents
from tremula.features.receipts.service import NOTHING_READ, Receipts
from tremula.protocol.identifiers import UserId


class UnreadTotals(Protocol):
    """Counts what users have not read."""

    async def total(self, user_id: UserId) -> int:
        """How many notifications there are in the rooms that the user is joined to."""
        ...


class UnreadNotifications(Struct, frozen=True):
    """What is worth being told to a user who looks elsewhere."""

    events: NotifiedEvents
    receipts: Receipts
    totals: UnreadTotals

    async def after(
        self, user_id: UserId, pos: int, *, up_to: int, limit: int
    ) -> Sequence[Notified]:
        """What is unread of the newest *limit* that came after *pos*, oldest first."""
        found = await self.events.newest_after(user_id, pos, up_to=up_to, limit=limit)
        if not found:
            return ()
        rooms = {each.room_nid for each in found}
        read = await self.receipts.read_up_to(user_id, rooms)
        return [
            each
            for each in found
            if each.is_outside
            or not read.get(each.room_nid, NOTHING_READ).covers(
                each.thread, each.room_pos
            )
        ]

    async def count(self, user_id: UserId) -> int:
        """How many there are, in the rooms that the user is joined to."""
        return await self.totals.total(user_id)
