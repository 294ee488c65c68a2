"""Events are put in order, and left in theirs where they are in it."""

import random
from collections.abc import Mapping, Sequence

import pytest

from tremula.protocol.event_values import Event
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.topology import all_named, ordered


def event(name: str, prev: Sequence[str], auth: Sequence[str] = ()) -> Event:
    return Event(
        event_id=EventId(name),
        room_id=RoomId("!r:test"),
        type="m.room.message",
        sender=UserId("@alice:test"),
        state_key=None,
        content={},
        origin_server_ts=0,
        depth=1,
        prev_events=tuple(map(EventId, prev)),
        auth_events=tuple(map(EventId, auth)),
        redacts=None,
    )


def order_of(events: Sequence[Event]) -> str:
    return "".join(
        each.event_id for each in ordered(events, lambda event: event, all_named)
    )


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": "", "b": "a", "c": "b"}, "abc"),
        ({"c": "b", "b": "a", "a": ""}, "abc"),
        # What "d" names is not among them: it stays where it is.
        ({"a": "", "b": "a", "c": "b", "d": "x"}, "abcd"),
        ({"d": "x", "b": "a", "a": "", "c": "b"}, "dabc"),
        ({"a": "", "b": "c", "c": "b", "d": "a"}, "adbc"),
        ({"a": "a", "b": "a"}, "ab"),
        ({}, ""),
    ],
)
def test_events_come_after_those_that_they_name_and_else_stay(
    graph: Mapping[str, str], expected: str
) -> None:
    assert order_of([event(name, list(prev)) for name, prev in graph.items()]) == (
        expected
    )


def test_auth_events_count_as_well() -> None:
    assert order_of([event("a", [], auth="b"), event("b", [])]) == "ba"


def test_one_that_comes_twice_is_there_once() -> None:
    assert order_of([event("a", []), event("b", ["a"]), event("a", [])]) == "ab"


def test_a_long_line_in_disorder_is_put_in_order() -> None:
    line = [event(chr(n + 200), [chr(n + 199)]) for n in range(500)]
    shuffled = random.Random(1).sample(line, len(line))  # noqa: S311 - no secret

    assert order_of(shuffled) == "".join(each.event_id for each in line)
