"""What others say of their rooms."""

from typing import Any

import pytest

from tremula.protocol.room_summaries import (
    ALLOWED_ROOMS_MAX,
    parse_published_room,
    parse_room_summary,
)

ROOM: dict[str, Any] = {
    "room_id": "!room:far.test",
    "num_joined_members": 3,
    "world_readable": False,
    "guest_can_join": True,
}
TEXTS = {
    "canonical_alias": "#trees:far.test",
    "name": "Trees",
    "topic": "Aspens",
    "avatar_url": "mxc://far.test/tree",
    "join_rule": "public",
    "room_type": "m.space",
}


def test_a_room_is_shown_with_what_belongs_to_it_alone() -> None:
    raw = {**ROOM, **TEXTS, "evil": {}, "room_version": "11"}

    assert parse_published_room(raw) == {**ROOM, **TEXTS}


def test_texts_of_another_type_are_left_out() -> None:
    assert parse_published_room({**ROOM, **dict.fromkeys(TEXTS, 7)}) == ROOM


@pytest.mark.parametrize(
    "raw",
    [
        7,
        None,
        {},
        {key: ROOM[key] for key in ROOM if key != "world_readable"},
        {**ROOM, "room_id": "room"},
        {**ROOM, "guest_can_join": 1},
        {**ROOM, "num_joined_members": True},
        {**ROOM, "num_joined_members": -1},
        # No number that clients could read.
        {**ROOM, "num_joined_members": 2**53},
        {**ROOM, "num_joined_members": 10**30},
    ],
)
def test_what_is_no_room_is_none(raw: object) -> None:
    assert parse_published_room(raw) is None
    assert parse_room_summary(raw) is None


def test_a_summary_says_more() -> None:
    more = {"encryption": "m.megolm.v1.aes-sha2", "room_version": "11"}
    allowed = ["!a:b", 7, "b", "!c:d"]

    summary = parse_room_summary({**ROOM, **more, "allowed_room_ids": allowed})

    assert summary == {**ROOM, **more, "allowed_room_ids": ["!a:b", "!c:d"]}


@pytest.mark.parametrize(
    ("allowed", "known"), [(7, None), (["!a:b"] * 1000, ALLOWED_ROOMS_MAX)]
)
def test_allowed_rooms_are_a_list_of_bounded_length(
    allowed: object, known: int | None
) -> None:
    summary = parse_room_summary({**ROOM, "allowed_room_ids": allowed})

    assert summary is not None
    found = summary.get("allowed_room_ids")
    assert (None if found is None else len(found)) == known
