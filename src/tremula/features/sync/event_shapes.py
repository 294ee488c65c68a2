"""Room events in the format and with the fields that a filter asks for."""

from collections.abc import Sequence

import orjson
from msgspec import Struct

from tremula.protocol.filters import EventFormat, Filter
from tremula.rooms.events import StoredEvent
from tremula.rooms.serialize import Audience, Serializer, room_id_member
from tremula.rooms.view import RoomView


class EventShapes(Struct, frozen=True):
    """Encodes events; those of most clients are stored bytes, never parsed."""

    serializer: Serializer

    async def encode(
        self,
        wanted: Filter,
        view: RoomView,
        events: Sequence[StoredEvent],
        audience: Audience,
    ) -> Sequence[bytes]:
        """*events* of one room as JSON, in their order.

        Those of the federation format are whole: with some fields only, nobody could
        check their signatures.
        """
        if wanted.event_format is EventFormat.FEDERATION:
            return await self.serializer.pdus(view, events, audience)
        encoded = await self.serializer.client_events(
            view, events, audience, leave_out=room_id_member(view.room_id)
        )
        fields = wanted.event_fields
        if fields is None:
            return encoded
        return [orjson.dumps(fields.select(orjson.loads(each))) for each in encoded]
