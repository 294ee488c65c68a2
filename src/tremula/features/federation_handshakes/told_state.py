"""What servers tell each other of rooms that only one of them is in."""

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct

from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId
from tremula.protocol.room_state import member_key
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.stripped_state import STRIPPED_TYPES, entries_of, strip_all
from tremula.rooms.verification import EventVerifier
from tremula.rooms.view import RoomView
from tremula.rooms.wire import WirePdus


class ToldState(Struct, frozen=True):
    """Tells ``invite_room_state`` and ``knock_room_state``, and checks what is told."""

    pdus: WirePdus
    verifier: EventVerifier

    async def of_room(self, view: RoomView, *members: str) -> list[bytes]:
        """The PDUs by which somebody may know the room, and those of *members*."""
        keys = [(event_type, "") for event_type in STRIPPED_TYPES]
        keys += [member_key(user_id) for user_id in members]
        nids = [
            entry.event_nid
            for key in keys
            if (entry := view.state.get(key)) is not None
        ]
        return await self.pdus.of(view.version, nids)

    async def check(
        self, version: RoomVersion, room_id: RoomId, raw: object
    ) -> Sequence[bytes]:
        """The stripped events of an ``invite_room_state``.

        In room versions from 12 on, "all invites […] which fail validation SHOULD
        result in an error"; older servers, in older rooms, send stripped events.

        Raises:
            BadJson: it is no list.
            TooLarge: it is too large.
            InvalidParam: an entry is no event of that room, or the create event is
                missing.
        """
        entries = entries_of(raw)
        if version.room_id_is_create_hash:
            verified = await self.verifier.of_room(version, room_id, entries)
            if len(verified) < len(entries):
                raise InvalidParam("the state has entries that are no events of it")
            if not any(each.event.type == "m.room.create" for each in verified):
                raise InvalidParam("the state has no m.room.create event")
        return strip_all(entries)

    async def prune(
        self, version: RoomVersion, room_id: RoomId, raw: object
    ) -> Sequence[bytes]:
        """The stripped events of a ``knock_room_state``.

        "Entries which are improperly signed or formatted SHOULD be removed".

        Raises:
            BadJson: it is no list.
            TooLarge: it is too large.
        """
        entries = entries_of(raw)
        if version.room_id_is_create_hash:
            verified = await self.verifier.of_room(version, room_id, entries)
            entries = [_as_told(each.stored.client_json) for each in verified]
        return strip_all(entries)


def _as_told(client_json: bytes) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(client_json)
    return event
