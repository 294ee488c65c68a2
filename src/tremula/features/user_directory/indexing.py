"""The words that users may be found by, made of member events (`rooms/following.py`).

Member events of all kinds count, be they of the past or known from a state only: for a
word that somebody has no more, nobody is found (`features/user_directory/service.py`).
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.user_directory import storage
from tremula.infra.db import Unit
from tremula.protocol.identifiers import UserId
from tremula.protocol.search_text import index_terms
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.following import Batch, batch_of
from tremula.rooms.state import MEMBER

VERSION: Final = 1
"""Of the terms: with another one all are made anew."""

_NAME: Final = "user_directory"
_NAME_CHARS_MAX: Final = 256


class UserTerms(Struct, frozen=True):
    """Holds the words of IDs and names of whoever was in a room."""

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
        events = await self.events.stored_after(
            pos, up_to=up_to, types=(MEMBER,), limit=limit
        )
        positions = [event.event_nid for event in events]
        return batch_of(events, positions, up_to=up_to, limit=limit)

    async def add(self, unit: Unit, events: Sequence[StoredEvent]) -> None:
        """See ``Derived.add``."""
        texts = {text for event in events if (text := _text_of(event)) is not None}
        terms = [(t, user_id) for user_id, text in texts for t in index_terms(text)]
        if terms:
            # In one order: nobody waits for another in a circle.
            storage.insert_terms(unit, self.events.db.engine, sorted(set(terms)))

    def delete_all(self, unit: Unit) -> None:
        """See ``Derived.delete_all``."""
        storage.delete_all_terms(unit)


def searched_text(user_id: str, displayname: object) -> str:
    """What of a user is searched: the ID, and the name if they have one."""
    if not isinstance(displayname, str):
        return user_id
    return f"{user_id}\n{displayname[:_NAME_CHARS_MAX]}"


def _text_of(event: StoredEvent) -> tuple[UserId, str] | None:
    """Of somebody who has joined: their ID, and what of them is searched."""
    content, user_id = event.content, event.state_key
    if user_id is None or content.get("membership") != "join":
        return None
    return UserId(user_id), searched_text(user_id, content.get("displayname"))
