"""Which thread an event belongs to (CS "Threading", "Threaded read receipts")."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from tremula.protocol.identifiers import EventId
from tremula.protocol.relations import HOPS_MAX, THREAD, Relation, relation_of
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent

MAIN: Final = "main"
"""The thread of what is in no other."""


def thread_root(content: Mapping[str, Any]) -> EventId | None:
    """The root of the thread that an event with this content says it is in."""
    relation = relation_of(content)
    if relation is None or relation.rel_type != THREAD:
        return None
    return relation.event_id


async def thread_of(events: EventStore, event: StoredEvent) -> str:
    """The root of the thread that *event* is in, or else `MAIN`.

    An event that relates to one in a thread, such as a reaction, is in it as well. No
    query for an event without a relation; at most three for another.
    """
    async for relation in _relations(events, event):
        if relation.rel_type == THREAD:
            return relation.event_id
    return MAIN


async def is_shown_in(
    events: EventStore, event: StoredEvent, thread_id: EventId
) -> bool:
    """Whether clients show *event* beside the thread with this root: it is the root, or
    relates to it in whatever way, perhaps by way of others. Costs as `thread_of` does.
    """
    if event.event_id == thread_id:
        return True
    async for relation in _relations(events, event):
        if relation.event_id == thread_id:
            return True
    return False


async def _relations(events: EventStore, event: StoredEvent) -> AsyncIterator[Relation]:
    """What *event* relates to, what that does, and so on."""
    current: StoredEvent | None = event
    for _ in range(HOPS_MAX):
        relation = relation_of(current.content) if current else None
        if relation is None:
            return
        yield relation
        if relation.rel_type == THREAD:
            return
        current = await events.find(event.room_nid, relation.event_id)
