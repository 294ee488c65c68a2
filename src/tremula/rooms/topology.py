"""Orders events so that none comes before one that it names."""

from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush
from typing import TypeVar

from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId

T = TypeVar("T")


def ordered(
    items: Sequence[T],
    event_of: Callable[[T], Event],
    names: Callable[[Event], Iterable[EventId]],
) -> list[T]:
    """*items* after those of them that they name, otherwise as they are.

    Circles, which only hostile servers make, come last.
    """
    by_id = {event_of(item).event_id: item for item in items}
    waits_for: list[int] = []
    named_by: dict[EventId, list[int]] = {}
    for place, item in enumerate(by_id.values()):
        named = {each for each in names(event_of(item)) if each in by_id}
        waits_for.append(len(named))
        for each in named:
            named_by.setdefault(each, []).append(place)
    event_ids = list(by_id)
    order: list[EventId] = []
    # A heap: of those that wait for none, the first comes next.
    ready = [place for place, count in enumerate(waits_for) if not count]
    while ready:
        event_id = event_ids[heappop(ready)]
        order.append(event_id)
        for place in named_by.get(event_id, ()):
            waits_for[place] -= 1
            if not waits_for[place]:
                heappush(ready, place)
    done = set(order)
    order += [event_id for event_id in event_ids if event_id not in done]
    return [by_id[event_id] for event_id in order]


def all_named(event: Event) -> list[EventId]:
    """The previous and the auth events."""
    return [*event.prev_events, *event.auth_events]


def connected_among(
    start: Iterable[EventId], items: Collection[T], event_of: Callable[[T], Event]
) -> list[T]:
    """Those of *items* that are in *start*, or that previous events lead to from there,
    over others.
    """
    by_id = {event_of(item).event_id: item for item in items}
    found: dict[EventId, T] = {}
    pending = list(start)
    while pending:
        event_id = pending.pop()
        item = by_id.get(event_id)
        if item is not None and event_id not in found:
            found[event_id] = item
            pending += event_of(item).prev_events
    return list(found.values())
