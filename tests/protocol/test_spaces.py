"""The children of a space, and their order."""

from typing import Any

import orjson
import pytest

from tremula.protocol.spaces import CHILD, CHILDREN_MAX, children_of


def event(room_id: str = "!a:x", ts: object = 1, **content: object) -> dict[str, Any]:
    return {
        "type": CHILD,
        "state_key": room_id,
        "sender": "@alice:x",
        "origin_server_ts": ts,
        "content": {"via": ["x"], **content},
    }


def rooms(*events: object) -> list[str]:
    return [child.room_id for child in children_of(events)]


def test_children_are_ordered_as_the_specifications_example_has_it() -> None:
    assert rooms(
        event("!a:x", 1640141000000, order="aaaa"),
        event("!b:x", 1640341000000, order=" "),
        event("!c:x", 1640841000000, order="first"),
        event("!d:x", 1640741000000),
        event("!e:x", 1640641000000),
    ) == ["!b:x", "!a:x", "!c:x", "!e:x", "!d:x"]


def test_equal_orders_are_ordered_by_time_and_then_by_room() -> None:
    assert rooms(
        event("!d:x", 1),
        event("!c:x", 1),
        event("!b:x", 9, order="o"),
        event("!a:x", 8, order="o"),
    ) == ["!a:x", "!b:x", "!c:x", "!d:x"]


@pytest.mark.parametrize("order", [7, None, "o" * 51, "ö", "a\n", "\x7f", ["a"]])
def test_an_order_of_other_characters_is_none(order: object) -> None:
    assert rooms(event("!b:x", 2, order=order), event("!a:x", 1)) == ["!a:x", "!b:x"]


def test_a_child_is_kept_as_a_stripped_event_with_its_time() -> None:
    raw = event(suggested=True, extra=1)

    [child] = children_of([{**raw, "event_id": "$e", "unsigned": {}}])

    assert orjson.loads(child.json) == raw
    assert (child.via, child.suggested) == (("x",), True)


@pytest.mark.parametrize("suggested", [1, "true", None, False])
def test_only_true_suggests(suggested: object) -> None:
    [child] = children_of([event(suggested=suggested)])

    assert not child.suggested


@pytest.mark.parametrize(
    "raw",
    [
        7,
        {},
        event() | {"type": "m.space.parent"},
        event() | {"content": []},
        event() | {"sender": "alice"},
        event() | {"state_key": "general"},
        event() | {"state_key": 7},
        event(ts="1"),
        event(ts=True),
        event(ts=-1),
        event(ts=2**53),
        event(via=None),
        event(via="x"),
        event(via=[]),
        event(via=[7, "no name"]),
        event(number=2**64),
        event(text="x" * 5000),
    ],
)
def test_what_is_malformed_or_huge_is_no_child(raw: object) -> None:
    assert children_of([raw]) == ()


def test_servers_are_bounded_and_named_once() -> None:
    via = ["x", 7, "x", "no name", *(f"s{number}" for number in range(50))]

    [child] = children_of([event(via=via)])

    assert child.via[:2] == ("x", "s0")
    assert len(child.via) < 10


def test_a_room_is_a_child_once_and_children_are_bounded() -> None:
    many = [event(f"!{number}:x") for number in range(CHILDREN_MAX + 10)]

    assert rooms(event(), event(ts=2)) == ["!a:x"]
    assert len(children_of(many)) == CHILDREN_MAX
