"""Reads the events between two places of a room that somebody may and wants to see."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent

# Events that one request reads at most while it looks for some to show; the next
# request goes on where it stopped.
READ_MAX: Final = 10_000


class Span(Struct, frozen=True):
    """Positions of a room: from *start* towards *stop*, both not included."""

    room_nid: int
    start: int
    stop: int
    backwards: bool


class Found(Struct, frozen=True):
    """Events of a span, in its direction.

    ``place`` is the place to go on from (see `tremula.rooms.tokens`), if there is
    ``more``.
    """

    events: Sequence[StoredEvent]
    place: int
    more: bool


async def read_span(
    store: EventStore,
    span: Span,
    accept: Callable[[StoredEvent], bool],
    *,
    limit: int,
    batch: int = 0,
) -> Found:
    """The first *limit* events of *span* that *accept* admits.

    A stretch of events that are not admitted does not end the search before
    `READ_MAX` of them. One query if the first *limit* are admitted, or else if
    *batch* is as large as what has to be read.
    """
    found: list[StoredEvent] = []
    at, read = span.start, 0
    # One more than wanted tells whether there are more.
    size = max(limit + 1, batch)
    while read < READ_MAX:
        events = await _events(store, span, at, size)
        for event in events:
            if len(found) == limit:
                return Found(found, _place(span, at), more=True)
            at = event.room_pos
            if accept(event):
                found.append(event)
        if len(events) < size:
            return Found(found, _place(span, at), more=False)
        read += size
    return Found(found, _place(span, at), more=True)


async def _events(
    store: EventStore, span: Span, at: int, size: int
) -> Sequence[StoredEvent]:
    if span.backwards:
        return await store.backwards(
            span.room_nid, before=at, after=span.stop, limit=size
        )
    return await store.forwards(span.room_nid, after=at, before=span.stop, limit=size)


def _place(span: Span, at: int) -> int:
    # A place is just after the position that it is named by.
    return at - 1 if span.backwards else at
