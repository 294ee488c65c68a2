"""What has notified a user, as pushers need to know it."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from tremula.protocol.identifiers import UserId


class Notified(Struct, frozen=True):
    """That an event notified a user, and what was to follow by the rule's *actions*.

    ``pos`` is the journal position of the event's arrival.
    """

    event_nid: int
    room_nid: int
    pos: int
    actions: Sequence[Any]


class Notifications(Protocol):
    """What users were notified of and have not read."""

    async def unread_after(
        self, user_id: UserId, pos: int, *, up_to: int, limit: int
    ) -> Sequence[Notified]:
        """The newest *limit* unread ones that came after *pos*, oldest first."""
        ...

    async def unread_count(self, user_id: UserId) -> int:
        """How many unread ones there are in the rooms that the user is joined to."""
        ...
