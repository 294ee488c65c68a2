"""What the room engine asks of other servers, and of whoever can ask them."""

from collections.abc import Collection, Sequence
from typing import Protocol

from msgspec import Struct

from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_versions import RoomVersion


class PeerFailed(Exception):
    """A server could not be asked, refused to answer, or answered nonsense."""


class RoomAt(Struct, frozen=True):
    """A room whose events are asked for."""

    room_id: RoomId
    version: RoomVersion


class StateIds(Struct, frozen=True):
    """A state before an event as a server tells it, and the auth chains of it."""

    state: Sequence[EventId]
    auth_chain: Sequence[EventId]


class EventAt(Struct, frozen=True):
    """An event, and when it says that it was sent."""

    event_id: EventId
    origin_server_ts: int


class Peers(Protocol):
    """Asks one server at a time for events of a room.

    Implementations check format, hash, signatures and room of every event in an answer
    and leave out those that fail, bound what an answer may hold, and raise `PeerFailed`
    for everything that goes wrong.
    """

    async def get_missing_events(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        """SS getMissingPreviousEvents."""
        ...

    async def backfill(
        self,
        origin: ServerName,
        room: RoomAt,
        *,
        latest: Collection[EventId],
        limit: int,
    ) -> Sequence[ReceivedEvent]:
        """SS backfillRoom: *latest* and events before them, the newest first."""
        ...

    async def state_ids(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> StateIds:
        """SS getRoomStateIds: the state before an event."""
        ...

    async def state(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        """SS getRoomState: the events of that state and of its auth chains."""
        ...

    async def event(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> ReceivedEvent | None:
        """SS getEvent; None if that server does not have it."""
        ...

    async def event_auth(
        self, origin: ServerName, room: RoomAt, event_id: EventId
    ) -> Sequence[ReceivedEvent]:
        """SS getEventAuth: the auth chain of an event."""
        ...
