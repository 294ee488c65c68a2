"""Filters (CS "Filtering")."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import BadJson
from tremula.protocol.event_fields import EventFields
from tremula.protocol.filters import (
    LIST_ITEMS_MAX,
    NO_FILTER,
    EventFilter,
    EventFormat,
    Filter,
    RoomEventFilter,
    TypePatterns,
)


def test_an_empty_filter_admits_everything() -> None:
    parsed = Filter.parse({"unknown.key": 1})

    assert parsed == NO_FILTER
    assert parsed.room.timeline.admits_all
    assert parsed.room.timeline.admits("m.room.message", "@a:b", {})
    assert parsed.room.rooms.admits("!room:test")


@pytest.mark.parametrize(
    ("pattern", "event_type", "matches"),
    [
        ("m.room.message", "m.room.message", True),
        ("m.room.message", "m.room.messages", False),
        ("m.*", "m.room.message", True),
        ("*", "", True),
        ("*.message", "m.room.message", True),
        ("m.*.x.*", "m.room.x.y", True),
        ("m.*.x.*", "m.room.y", False),
        ("ab*ba", "aba", False),
        ("a*b*c", "abc", True),
        ("a*b*c", "acb", False),
        ("m.room?", "m.rooms", False),
    ],
)
def test_a_star_stands_for_any_sequence(
    pattern: str, event_type: str, *, matches: bool
) -> None:
    assert TypePatterns.of([pattern]).match(event_type) is matches


@given(pattern=st.text("ab*", max_size=8), text=st.text("ab", max_size=12))
def test_patterns_match_what_a_regular_expression_would(
    pattern: str, text: str
) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))

    assert TypePatterns.of([pattern]).match(text) == bool(
        re.fullmatch(expression, text)
    )


def test_a_pattern_of_many_stars_takes_linear_time() -> None:
    """A backtracking matcher would never finish (GHSA-x345-32rc-8h85's kind)."""
    pattern = "*a" * 200 + "b"

    assert not TypePatterns.of([pattern]).match("a" * 5_000)


def test_an_exclusion_wins_over_an_inclusion() -> None:
    parsed = EventFilter.parse(
        {
            "types": ["m.*"],
            "not_types": ["m.room.member"],
            "senders": ["@a:b", "@c:d"],
            "not_senders": ["@c:d"],
        }
    )

    assert parsed.admits_type("m.room.message")
    assert not parsed.admits_type("m.room.member")
    assert not parsed.admits_type("org.example")
    assert parsed.admits_sender("@a:b")
    assert not parsed.admits_sender("@c:d")
    assert not parsed.admits_sender("@e:f")
    assert not parsed.admits_all


def test_an_empty_list_lets_nothing_pass() -> None:
    parsed = RoomEventFilter.parse({"types": [], "senders": [], "rooms": []})

    assert not parsed.events.admits_type("m.room.message")
    assert not parsed.events.admits_sender("@a:b")
    assert not parsed.rooms.admits("!room:test")
    assert not parsed.admits("m.room.message", "@a:b", {})


@pytest.mark.parametrize(("wanted", "content"), [(True, {"url": None}), (False, {})])
def test_contains_url_looks_at_the_key_only(
    content: dict[str, Any], *, wanted: bool
) -> None:
    parsed = RoomEventFilter.parse({"contains_url": wanted})

    assert not parsed.admits_all
    assert parsed.admits("m.room.message", "@a:b", content)
    assert not parsed.admits("m.room.message", "@a:b", {} if wanted else {"url": ""})


def test_the_whole_filter_is_read() -> None:
    parsed = Filter.parse(
        {
            "event_fields": ["content.body"],
            "event_format": "federation",
            "presence": {"not_types": ["*"]},
            "account_data": {"limit": 5},
            "room": {
                "rooms": ["!a:b"],
                "not_rooms": ["!c:d"],
                "include_leave": True,
                "state": {"lazy_load_members": True},
                "timeline": {"limit": 10, "unread_thread_notifications": True},
                "ephemeral": {"types": []},
                "account_data": {"include_redundant_members": None},
            },
        }
    )

    assert parsed.event_fields == EventFields.of(["content.body"])
    assert parsed.event_format is EventFormat.FEDERATION
    assert not parsed.presence.admits_type("m.presence")
    assert parsed.account_data.limit == 5
    assert parsed.room.include_leave
    assert parsed.room.rooms.admits("!a:b")
    assert not parsed.room.rooms.admits("!c:d")
    assert parsed.room.state.lazy_load_members
    assert parsed.room.timeline.limit == 10
    assert parsed.room.timeline.unread_thread_notifications


@pytest.mark.parametrize(
    "raw",
    [
        [],
        {"event_fields": "type"},
        {"event_format": "xml"},
        {"event_format": ["client"]},
        {"presence": "none"},
        {"account_data": {"limit": -1}},
        {"account_data": {"limit": True}},
        {"account_data": {"limit": 2**60}},
        {"account_data": {"limit": 1.5}},
        {"account_data": {"types": {}}},
        {"account_data": {"types": [1]}},
        {"account_data": {"types": ["a" * 2_000]}},
        {"account_data": {"types": ["a"] * (LIST_ITEMS_MAX + 1)}},
        {"room": {"rooms": ["room"]}},
        {"room": {"include_leave": 1}},
        {"room": {"timeline": {"senders": ["nobody"]}}},
        {"room": {"timeline": {"contains_url": "yes"}}},
    ],
)
def test_a_malformed_filter_is_refused(raw: object) -> None:
    with pytest.raises(BadJson):
        Filter.parse(raw)


def test_a_limit_of_zero_is_the_least_that_the_specification_knows() -> None:
    assert Filter.parse({"account_data": {"limit": 0}}).account_data.limit == 1
