"""Users who had erased what they sent (CS ``deactivateAccount``, ``erase``)."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import UserId
from tremula.protocol.redaction import redact_client_event
from tremula.rooms import erasures_storage, events_storage
from tremula.rooms.events import StoredEvent
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer, Visibility

TOPIC: Final = "erasures"

_PLACES_MAX: Final = 10_000


class Erasures:
    """Knows in memory who was erased, and shows newcomers what is left of their events.

    "Any users … which join the room after the erasure request are served redacted
    copies of the events sent by this account. Users which had visibility on those
    events prior to the erasure are still able to see unredacted copies."
    """

    def __init__(
        self,
        db: Reader,
        journal: Journal,
        visibility: Visibility,
        erased: dict[UserId, int],
    ) -> None:
        self._db = db
        self._visibility = visibility
        self._erased = erased
        # Where in a room a journal position was: past ones stay where they are.
        self._places: dict[tuple[int, int], int] = {}
        # What others add may not be heard, or not from the beginning: then it is read
        # anew, and until then anybody may have been erased.
        self._missed = 0 if journal.is_alone else 1
        journal.subscribe(TOPIC, self._remember)
        journal.on_forget(self._miss)

    @classmethod
    async def open(
        cls, db: Reader, journal: Journal, visibility: Visibility
    ) -> "Erasures":
        """Load who was erased."""
        return cls(db, journal, visibility, await erasures_storage.erasures(db))

    def add(self, unit: JournalUnit, user_id: UserId) -> None:
        """Erase what *user_id* has sent. Takes a journal position."""
        pos = unit.pos()
        erasures_storage.insert_erasure(unit, user_id, erased_pos=pos)
        unit.announce(TOPIC, user_id, None, pos=pos)

    def concern(self, events: Iterable[StoredEvent]) -> bool:
        """Whether any of *events* was erased, for newcomers. Cheap if nobody was."""
        if self._missed:
            return True
        return bool(self._erased) and any(map(self._is_erased, events))

    async def shown(
        self, view: RoomView, events: Sequence[StoredEvent], user_id: UserId
    ) -> list[StoredEvent]:
        """*events* of one room, redacted where *user_id* had not seen them before
        their sender was erased.
        """
        viewer = await self._visibility.viewer(view, user_id)
        hidden = await self.hidden(view, events, viewer)
        return [
            _redacted(view, event) if event.event_nid in hidden else event
            for event in events
        ]

    async def hidden(
        self, view: RoomView, events: Sequence[StoredEvent], viewer: Viewer
    ) -> set[int]:
        """The numbers of those of *events* that *viewer*, who is to know their whole
        history, had not seen before their sender was erased.
        """
        while missed := self._missed:
            self._erased |= await erasures_storage.erasures(self._db)
            if missed == self._missed:
                self._missed = 0
        erased = [event for event in events if self._is_erased(event)]
        before = {
            sender: viewer.until(await self._place(view, self._erased[sender]))
            for sender in {event.sender for event in erased}
        }
        return {
            event.event_nid
            for event in erased
            if not _had_seen(before[event.sender], event)
        }

    def _is_erased(self, event: StoredEvent) -> bool:
        # Other state is the room's rather than the sender's, and the room goes on:
        # without its encryption event newcomers would send in the clear.
        return event.sender in self._erased and (
            not event.is_state or event.state_key == event.sender
        )

    async def _place(self, view: RoomView, journal_pos: int) -> int:
        place = self._places.get((view.nid, journal_pos))
        if place is None:
            place = await events_storage.newest_pos_up_to(
                self._db, view.nid, event_nid=journal_pos
            )
            if len(self._places) >= _PLACES_MAX:
                self._places.clear()
            self._places[view.nid, journal_pos] = place
        return place

    def _miss(self) -> None:
        self._missed += 1

    def _remember(self, pos: int, key: Hashable, _payload: object) -> None:
        self._erased.setdefault(UserId(str(key)), pos)


def _had_seen(viewer: Viewer, event: StoredEvent) -> bool:
    # Whom the world-readable event was open to all the time, yet never came, joins
    # "after the erasure request" like any other.
    return viewer.was_ever_joined and viewer.can_see(event)


def _redacted(view: RoomView, event: StoredEvent) -> StoredEvent:
    client_json = redact_client_event(view.version, event.client_json)
    return replace(event, client_json=client_json, _content=None)
