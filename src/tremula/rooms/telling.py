"""What every process takes over of a room's new event before it tells of it."""

from collections.abc import Hashable

from msgspec import Struct

from tremula.infra.journal import Journal
from tremula.protocol.identifiers import ServerName
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import PersistedEvent
from tremula.rooms.registry import RoomRegistry
from tremula.rooms.staging import EVENT_TOPIC, OwnChange, Remains, RoomChange
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
        journal.on_forget(self._forget_all)

    def _take_over(self, _pos: int, _key: Hashable, payload: object) -> PersistedEvent:
        if isinstance(payload, OwnChange):
            return self._told(payload.change, payload.view)
        assert isinstance(payload, RoomChange)
        self.events.keep(payload.stored)
        room = self.registry.find_loaded(payload.room_id)
        return self._told(payload, None if room is None else room.view)

    def _forget_all(self) -> None:
        self.events.forget_all()
        self.registry.discard_idle()

    def _told(self, change: RoomChange, view: RoomView | None) -> PersistedEvent:
        stored = change.stored
        if change.remains is not None:
            self._redact(change.remains, view, by_nid=stored.event_nid)
        if view is None:
            return PersistedEvent(
                change.room_id,
                stored,
                change.redacts,
                changes_other_state=change.changes_other_state,
            )
        changes = view.apply(stored.room_pos, change.update)
        servers = view.joined_servers
        return PersistedEvent(
            change.room_id,
            stored,
            change.redacts,
            changes_other_state=change.changes_other_state,
            has_other_servers=len(servers) > (self.own in servers),
            server_changes=changes,
        )

    def _redact(self, remains: Remains, view: RoomView | None, *, by_nid: int) -> None:
        self.events.redact(remains.event_nid, remains.client_json, by_nid=by_nid)
        if view is not None and remains.state_event is not None:
            view.replace_state(remains.state_event)
