"""Takes events into a room that only this server was given."""

from msgspec import Struct

from tremula.protocol.identifiers import ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.rooms.receiving import Receipt
from tremula.rooms.rooms import Rooms


class Intake(Struct, frozen=True):
    """Hands events of a handshake to the room, and on to the servers in it."""

    rooms: Rooms

    async def take(self, received: ReceivedEvent, *, origin: ServerName) -> Receipt:
        """What became of an event that *origin* sent, and that was verified."""
        event = received.event
        receipts = await self.rooms.receive(
            event.room_id, [received], origin=origin, is_relayed=True
        )
        return receipts[event.event_id]
