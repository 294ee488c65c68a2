"""What every process takes over of a room's new event before it tells of it."""

from collections.abc import Hashable

from msgspec import Struct

from tremula.infra.journal import Journal
from tremula.protocol.identifiers import ServerName
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import PersistedEvent
from tremula.rooms.head_servers import recipients
from tremula.rooms.partial import COMPLETED_TOPIC
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.staging import (
    EVENT_TOPIC,
    REREAD_TOPIC,
    SKIPPED_TOPIC,
    OwnChange,
    Remains,
    Reread,
    RoomChange,
    StateAround,
)
from tremula.rooms.view import RoomView


class RoomTelling(Struct, frozen=True):
    """Makes of a stored change what the listeners to ``EVENT_TOPIC`` are told.

    In the order of the journal, so that a room in memory is at every moment what the
    events told so far have made of it, in the process that wrote them and elsewhere.
    """

    registry: RoomRegistry
    events: EventStore
    own: ServerName

    def listen(self, journal: Journal) -> None:
        """Be the first who is told."""
        journal.adapt(EVENT_TOPIC, self._take_over)
        journal.subscribe(
            SKIPPED_TOPIC, lambda pos, key, _: journal.skip(EVENT_TOPIC, pos, key)
        )
        journal.subscribe(REREAD_TOPIC, self._reread)
        journal.subscribe(COMPLETED_TOPIC, self._completed)
        journal.on_forget(self._forget_all)

    def _take_over(self, _pos: int, _key: Hashable, payload: object) -> PersistedEvent:
        around = None
        if isinstance(payload, OwnChange):
            change, view, around = payload.change, payload.view, payload.around
        else:
            assert isinstance(payload, RoomChange)
            self.events.keep(payload.stored)
            change, view = payload, None
        room = self.registry.find_loaded(change.room_id)
        if room is None:
            self.registry.note(change)
        else:
            # Of an own change, too, which may have been read anew since.
            view = room.view
        return self._told(change, view, around)

    def _reread(self, _pos: int, _key: Hashable, payload: object) -> None:
        if isinstance(payload, Reread):
            room = self.registry.find_loaded(payload.room_id)
            if room is not None:
                # For those who are reading it.
                room.view.forget_histories()
            self.registry.discard_id(payload.room_id)
            self.events.forget(payload.event_nids)

    def _completed(self, _pos: int, room_nid: Hashable, payload: object) -> None:
        assert isinstance(payload, PersistedEvent)
        assert isinstance(room_nid, int)
        if not self.registry.slots.holds(payload.room_id):
            self.registry.completions.done(room_nid)

    def _forget_all(self) -> None:
        self.events.forget_all()
        self.registry.discard_idle()

    def _told(
        self, change: RoomChange, view: RoomView | None, around: StateAround | None
    ) -> PersistedEvent:
        stored = change.stored
        after = None
        if view is not None and around is not None and view.state is around.before:
            # Made already by the writer: one map in memory, and not two alike.
            after = around.after
        if change.remains is not None:
            self._redact(change.remains, view, by_nid=stored.event_nid)
        if view is None:
            return PersistedEvent(
                change.room_id,
                stored,
                change.redacts,
                changes_other_state=change.changes_other_state,
                recipients=self._recipients(change, None),
            )
        # Or it was read after more had happened than is told so far.
        is_next = view.room_pos < stored.room_pos
        view.apply(stored.room_pos, change.update, after=after)
        return PersistedEvent(
            change.room_id,
            stored,
            change.redacts,
            changes_other_state=change.changes_other_state,
            recipients=self._recipients(change, view if is_next else None),
        )

    def _recipients(
        self, change: RoomChange, view: RoomView | None
    ) -> frozenset[ServerName] | None:
        if not change.is_sent:
            return frozenset()
        if view is None:
            return None
        return recipients(view.joined_servers, change.stored, self.own)

    def _redact(self, remains: Remains, view: RoomView | None, *, by_nid: int) -> None:
        self.events.redact(remains.event_nid, remains.client_json, by_nid=by_nid)
        if view is not None and remains.state_event is not None:
            view.replace_state(remains.state_event)
