"""What bridges say of how sending a message went (``com.beeper.message_send_status``):
they may have a key of it copied into the message, for clients that read nothing else.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.features.hungry_rooms.service import Authority
from tremula.infra.http import Requester
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import RoomId
from tremula.protocol.relations import relation_of
from tremula.rooms.contents import EventContents
from tremula.rooms.event_store import EventStore

SEND_STATUS: Final = "com.beeper.message_send_status"

_KEY_BYTES_MAX: Final = 255
# By these, events are found.
_FIXED: Final = frozenset({"m.relates_to", "m.new_content"})


class SendStatuses(Struct, frozen=True):
    """Copies what a status says, in rooms that are a bridge's own and don't federate:
    elsewhere, servers would take the message for another one.
    """

    events: EventStore
    contents: EventContents
    authority: Authority

    async def follow(
        self, requester: Requester, room_id: RoomId, status: Mapping[str, Any]
    ) -> None:
        """Do what a status that was sent calls for; safe to repeat."""
        key, relation = status.get("mutate_event_key"), relation_of(status)
        if not isinstance(key, str) or key not in status or key in _FIXED:
            return
        if relation is None or len(key.encode()) > _KEY_BYTES_MAX:
            return
        try:
            view = await self.authority.own_room(requester, room_id)
        except Forbidden:
            # For who may not have it copied it is an event like any other.
            return
        event = await self.events.find(view.nid, relation.event_id)
        if event is not None and not event.is_state:
            await self.contents.set_key(event.event_nid, key, status[key])
