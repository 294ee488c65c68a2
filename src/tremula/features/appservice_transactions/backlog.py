"""What waits for application services, and what is to be told to them once more."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.appservice_transactions import storage
from tremula.features.appservice_transactions.marking import TOPIC
from tremula.features.appservice_transactions.storage import Queued, Waiting
from tremula.features.appservices.service import Appservice, Appservices
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.memberships import Memberships
from tremula.rooms.view import HISTORY_END_POS, HISTORY_FROM_POS

_EVENTS_AT_ONCE: Final = 500


class Backlog(Struct, frozen=True):
    """Shows what waits, and lets what was told wait again."""

    db: Reader
    journal: Journal
    clock: Clock
    appservices: Appservices
    memberships: Memberships
    events: EventStore

    async def queued(self, appservice_id: str) -> Queued:
        """How much waits for an application service."""
        return await storage.queued(self.db, appservice_id)

    async def replay(self, appservice_id: str, *, since_ms: int) -> int:
        """Tell an application service again of what was sent since a time in the rooms
        that its users are joined to, as far as they were then; how many events.

        It gets them in transactions of new IDs, in their order, before all that waits.

        Raises:
            NotFound: there is none of this ID.
        """
        appservice = self.appservices.get(appservice_id)
        count = 0
        for room_nid, joined_pos in (await self._rooms(appservice)).items():
            count += await self._replay_room(
                appservice, room_nid, joined_pos=joined_pos, since_ms=since_ms
            )
        return count

    async def _rooms(self, appservice: Appservice) -> dict[int, int]:
        """The rooms of its users, and since which journal position they are."""
        rooms: dict[int, int] = {}
        for prefix in appservice.user_prefixes():
            found = await self.memberships.joined_since(prefix, appservice.matches_user)
            for room_nid, pos in found.items():
                rooms[room_nid] = min(rooms.get(room_nid, pos), pos)
        return rooms

    async def _replay_room(
        self, appservice: Appservice, room_nid: int, *, joined_pos: int, since_ms: int
    ) -> int:
        count, before = 0, END_POS
        while page := await self.events.backwards(
            room_nid, before=before, after=0, limit=_EVENTS_AT_ONCE
        ):
            wanted = [
                each
                for each in page
                if each.journal_pos >= joined_pos
                and each.origin_server_ts >= since_ms
                and not _was_brought_later(each)
            ]
            if not wanted:
                break
            await self._let_wait(appservice.id, wanted)
            count += len(wanted)
            before = page[-1].room_pos
        return count

    async def _let_wait(
        self, appservice_id: str, events: Sequence[StoredEvent]
    ) -> None:
        now_ms = self.clock.now_ms()
        unit = self.journal.unit()
        storage.upsert_replayed(
            unit,
            appservice_id,
            [Waiting(each.journal_pos, each.event_nid, now_ms) for each in events],
        )
        unit.announce(TOPIC, appservice_id, None, pos=unit.pos())
        await self.journal.commit(unit)


def _was_brought_later(event: StoredEvent) -> bool:
    """Whether a bridge itself has put it into the past."""
    is_history = HISTORY_FROM_POS <= event.room_pos < HISTORY_END_POS
    return is_history and event.arrived_pos is not None
