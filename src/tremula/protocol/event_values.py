"""The values that an event is made from and parsed into."""

from typing import Any

from msgspec import Struct

from tremula.protocol.identifiers import EventId, RoomId, UserId


class Event(Struct, frozen=True):
    """What the rules need of an event. ``content`` is shared: never change it.

    ``redacts`` is the event that an ``m.room.redaction`` redacts, wherever its room
    version keeps that.
    """

    event_id: EventId
    room_id: RoomId
    type: str
    sender: UserId
    state_key: str | None
    content: dict[str, Any]
    origin_server_ts: int
    depth: int
    prev_events: tuple[EventId, ...]
    auth_events: tuple[EventId, ...]
    redacts: EventId | None

    @property
    def is_state(self) -> bool:
        """Whether it has a ``state_key``, be it the empty one."""
        return self.state_key is not None

    @property
    def key(self) -> tuple[str, str]:
        """Its place ``(type, state_key)`` in the room state; state events only."""
        assert self.state_key is not None
        return (self.type, self.state_key)


class EventDraft(Struct, frozen=True):
    """What the sender of an event decides; ``build_event`` adds the rest.

    ``room_id`` is None for the create event of a room whose ID is that event's hash.
    """

    room_id: RoomId | None
    type: str
    sender: UserId
    state_key: str | None
    content: dict[str, Any]
    origin_server_ts: int
    redacts: EventId | None = None


class BuiltEvent(Struct, frozen=True):
    """A finished event: signed, hashed, encoded."""

    event: Event
    client_json: bytes
    server_json: bytes
