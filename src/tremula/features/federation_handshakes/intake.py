"""Takes events into a room that only this server was given."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from msgspec import Struct

from tremula.protocol.identifiers import EventId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.rooms.receiving import Receipt
from tremula.rooms.rooms import Rooms

Relaying = Callable[[EventId], AbstractContextManager[None]]
"""Sends an event of another server on to the rest of the room, if it comes now."""


class Intake(Struct, frozen=True):
    """Hands events of a handshake to the room, and on to the servers in it."""

    rooms: Rooms
    relaying: Relaying

    async def take(self, received: ReceivedEvent, *, origin: ServerName) -> Receipt:
        """What became of an event that *origin* sent, and that was verified."""
        event = received.event
        with self.relaying(event.event_id):
            receipts = await self.rooms.receive(
                event.room_id, [received], origin=origin
            )
        return receipts[event.event_id]
