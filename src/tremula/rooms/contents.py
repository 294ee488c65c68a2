"""Changes contents of events that no other server will ever see."""

from collections.abc import Hashable
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.infra.journal import Journal
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.event_format import PDU_BYTES_MAX
from tremula.protocol.json import encode_to_keep
from tremula.rooms import events_storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent

TOPIC: Final = "event_content"
"""Announced by room nid with a `NewContent`."""


class NewContent(Struct, frozen=True):
    """The event ``event_nid`` as clients are shown it from now on."""

    event_nid: int
    client_json: bytes


class EventContents(Struct, frozen=True):
    """Whoever asks answers for it that the event's room never federates: its hash does
    not fit any more.
    """

    events: EventStore
    journal: Journal

    def __post_init__(self) -> None:
        self.journal.subscribe(TOPIC, self._take_over)

    async def set_key(self, event_nid: int, key: str, value: object) -> None:
        """Set a key of an event's content, in all processes. Nothing happens if the
        event is redacted, or has no room for it.
        """

        async def attempt() -> None:
            [event] = await events_storage.events_by_nids(self.events.db, [event_nid])
            after = _with_key(event.client_json, key, value)
            is_fit = event.redacted_by_nid is None and len(after) <= PDU_BYTES_MAX
            if is_fit and after != event.client_json:
                await self._replace(event, after)

        await reread_on_conflict(attempt)

    async def _replace(self, event: StoredEvent, after: bytes) -> None:
        unit = self.journal.unit()
        events_storage.replace_client_json(
            unit, event.event_nid, seen=event.client_json, client_json=after
        )
        told = NewContent(event.event_nid, after)
        unit.announce(
            TOPIC, event.room_nid, told, pos=unit.pos(), size_bytes=256 + len(after)
        )
        await self.journal.commit(unit)

    def _take_over(self, _pos: int, _key: Hashable, told: object) -> None:
        assert isinstance(told, NewContent)
        self.events.change(told.event_nid, told.client_json)


def _with_key(client_json: bytes, key: str, value: object) -> bytes:
    event: dict[str, Any] = orjson.loads(client_json)
    event["content"] = {**event["content"], key: value}
    return encode_to_keep(event)
