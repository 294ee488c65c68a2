"""The index as something that is made of events (`rooms/following.py`)."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.search import storage
from tremula.features.search.documents import (
    REDACTION,
    TYPES,
    VERSION,
    document_id,
    document_of,
    redacted_ids,
    terms_of,
)
from tremula.infra.db import Reader, Unit
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.following import Batch, batch_of

_NAME: Final = "search"


class SearchIndex(Struct, frozen=True):
    """Holds the terms of all texts; made anew when the rules for them have changed."""

    db: Reader
    events: EventStore

    @property
    def name(self) -> str:
        """See ``Derived.name``."""
        return _NAME

    @property
    def version(self) -> int:
        """See ``Derived.version``."""
        return VERSION

    async def read(self, pos: int, *, up_to: int, limit: int) -> Batch:
        """See ``Derived.read``."""
        events = await self.events.placed_after(
            pos, up_to=up_to, types=TYPES, limit=limit
        )
        positions = [event.placed_pos for event in events]
        return batch_of(events, positions, up_to=up_to, limit=limit)

    async def add(self, unit: Unit, events: Sequence[StoredEvent]) -> None:
        """See ``Derived.add``."""
        documents = [
            (document_id(event), terms_of(event, document))
            for event in events
            if (document := document_of(event)) is not None
        ]
        redacted = await self._redacted_by(events)
        storage.upsert_documents(unit, self.db.engine, documents)
        storage.delete_documents(unit, self.db.engine, redacted)

    def delete_all(self, unit: Unit) -> None:
        """See ``Derived.delete_all``."""
        storage.delete_all_documents(unit, self.db.engine)

    async def _redacted_by(self, events: Sequence[StoredEvent]) -> list[int]:
        """The documents of events that those among *events* have redacted."""
        found = []
        for redaction in events:
            if redaction.type != REDACTION:
                continue
            for target_id in redacted_ids(redaction):
                target = await self.events.find_stored(redaction.room_nid, target_id)
                if target is not None and target.redacted_by_nid is not None:
                    found.append(document_id(target))
        return found
