"""Stores whom events are to be told to, in the units that store them."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.appservice_transactions import storage
from tremula.features.appservice_transactions.interest import Interests
from tremula.features.appservice_transactions.storage import Waiting
from tremula.infra.clock import Clock
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import UserId
from tremula.rooms.events import StoredEvent
from tremula.rooms.marking import Upcoming
from tremula.rooms.outside import OutsideMembership
from tremula.rooms.staging import Staged, StateAround
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

TOPIC: Final = "appservice_transactions"
"""Announced with the ID of an application service that an event waits for."""


class AppserviceMarker(Struct, frozen=True):
    """Implements ``Marker`` of the room engine.

    An application service is told of everything in rooms that it is interested in, of
    what its users send, and of what they are to any room.
    """

    interests: Interests
    clock: Clock

    async def prepare(self, view: RoomView, upcoming: Sequence[Upcoming]) -> None:  # noqa: ARG002 - of the room only
        """See ``Marker``."""
        await self.interests.learn_aliases(view)

    def mark(
        self, unit: JournalUnit, view: RoomView, item: Staged, around: StateAround
    ) -> None:
        """See ``Marker``."""
        interests = self.interests
        if not interests:
            return
        stored = item.stored
        found = interests.after(view, item.update, around)
        found |= interests.by_alias(view) | interests.of_user(stored.sender)
        if stored.type == MEMBER and stored.state_key is not None:
            found |= interests.of_user(UserId(stored.state_key))
        if item.known_to is not None:
            found -= {item.known_to}
        if found:
            now_ms = self.clock.now_ms()
            waiting = Waiting(stored.journal_pos, stored.event_nid, now_ms)
            let_wait(unit, found, waiting)

    def unmark(self, unit: JournalUnit, target: StoredEvent, *, pos: int) -> None:
        """See ``Marker``. What waits is read when it is sent, and redacted by then."""


class InvitationMarker(Struct, frozen=True):
    """Implements ``OutsideMarker``: what users of application services are to rooms
    that this server is not in.
    """

    interests: Interests
    clock: Clock

    async def prepare(self, outside: OutsideMembership) -> None:
        """See ``OutsideMarker``."""

    def mark(
        self,
        unit: JournalUnit,
        outside: OutsideMembership,
        *,
        room_nid: int,  # noqa: ARG002 - the event says it
        pos: int,
    ) -> None:
        """See ``OutsideMarker``."""
        found = self.interests.of_user(outside.user_id)
        if found:
            now_ms = self.clock.now_ms()
            let_wait(unit, found, Waiting(pos, pos, now_ms, outside.client_json))


def let_wait(
    unit: JournalUnit, appservice_ids: frozenset[str], waiting: Waiting
) -> None:
    """Store an event for some application services, and have it delivered."""
    storage.insert_waiting(unit, appservice_ids, waiting)
    for appservice_id in appservice_ids:
        unit.announce(TOPIC, appservice_id, None, pos=waiting.pos)
