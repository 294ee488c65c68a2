"""Who may see which event (CS "Room History Visibility")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.history_visibility import (
    Changes,
    HistoryVisibility,
    Viewer,
    may_see,
)

WORLD_READABLE = HistoryVisibility.WORLD_READABLE
SHARED = HistoryVisibility.SHARED
INVITED = HistoryVisibility.INVITED
JOINED = HistoryVisibility.JOINED

MEMBERSHIPS = [None, "invite", "join", "leave", "ban", "knock"]


@pytest.mark.parametrize(
    ("content", "visibility"),
    [
        (None, SHARED),
        ({}, SHARED),
        ({"history_visibility": "world_readable"}, WORLD_READABLE),
        ({"history_visibility": "shared"}, SHARED),
        ({"history_visibility": "invited"}, INVITED),
        ({"history_visibility": "joined"}, JOINED),
        ({"history_visibility": "JOINED"}, SHARED),
        ({"history_visibility": ""}, SHARED),
        ({"history_visibility": None}, SHARED),
        ({"history_visibility": ["joined"]}, SHARED),
        ({"history_visibility": {"joined": 1}}, SHARED),
    ],
)
def test_what_is_not_understood_is_shared(
    content: dict[str, object] | None, visibility: HistoryVisibility
) -> None:
    assert HistoryVisibility.of(content) is visibility


@pytest.mark.parametrize("visibility", list(HistoryVisibility))
@pytest.mark.parametrize("membership", MEMBERSHIPS)
@pytest.mark.parametrize("joined_later", [True, False])
def test_the_five_rules(
    visibility: HistoryVisibility, membership: str | None, *, joined_later: bool
) -> None:
    allowed = (
        visibility == "world_readable"
        or membership == "join"
        or (visibility == "shared" and joined_later)
        or (membership == "invite" and visibility == "invited")
    )

    assert may_see(visibility, membership, joined_later=joined_later) is allowed


def _viewer(
    memberships: list[tuple[int, str | None]],
    *,
    visibility: HistoryVisibility = SHARED,
    changes: tuple[tuple[int, HistoryVisibility], ...] = (),
) -> Viewer:
    return Viewer(Changes(visibility, changes), Changes(None, memberships))


def _seen(viewer: Viewer, last: int) -> list[int]:
    return [pos for pos in range(1, last + 1) if viewer.may_see(pos)]


# Invited at 3, joined at 5, left at 7.
VISIT: list[tuple[int, str | None]] = [(3, "invite"), (5, "join"), (7, "leave")]


@pytest.mark.parametrize(
    ("visibility", "seen"),
    [
        (WORLD_READABLE, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (SHARED, [1, 2, 3, 4, 5, 6, 7]),
        (INVITED, [3, 4, 5, 6, 7]),
        (JOINED, [5, 6, 7]),
    ],
)
def test_a_visitor_sees(visibility: HistoryVisibility, seen: list[int]) -> None:
    assert _seen(_viewer(VISIT, visibility=visibility), 9) == seen


def test_whoever_never_joined_sees_nothing_of_a_shared_room() -> None:
    assert _seen(_viewer([]), 3) == []
    assert _seen(_viewer([(2, "invite")]), 3) == []


def test_an_invited_user_sees_from_the_invite_to_its_rejection() -> None:
    viewer = _viewer([(2, "invite"), (4, "leave")], visibility=INVITED)

    assert _seen(viewer, 5) == [2, 3, 4]


def test_whoever_comes_back_sees_what_was_shared_meanwhile() -> None:
    assert _seen(_viewer([*VISIT, (9, "join")]), 10) == list(range(1, 11))


def test_whoever_comes_back_does_not_see_what_was_not_shared_meanwhile() -> None:
    viewer = _viewer([*VISIT, (9, "join")], visibility=JOINED)

    assert _seen(viewer, 10) == [5, 6, 7, 9, 10]


def test_the_setting_counts_that_held_when_the_event_was_sent() -> None:
    viewer = _viewer([(6, "join")], changes=((3, JOINED), (5, SHARED)))

    # Changes of the setting themselves are seen by the setting before or after.
    assert _seen(viewer, 7) == [1, 2, 3, 5, 6, 7]


def test_strangers_see_the_changes_to_and_from_world_readable() -> None:
    viewer = _viewer([], changes=((3, WORLD_READABLE), (6, JOINED)))

    assert _seen(viewer, 8) == [3, 4, 5, 6]


def test_backfilled_positions_below_zero_are_seen_like_others() -> None:
    viewer = _viewer([(-5, "join"), (2, "leave")], visibility=JOINED)

    assert [pos for pos in range(-8, 5) if viewer.may_see(pos)] == [
        *range(-5, 3),
    ]


@given(
    st.integers(),
    st.lists(st.tuples(st.integers(0, 50), st.integers()), unique_by=lambda c: c[0]),
    st.integers(-1, 51),
)
def test_changes_are_what_a_scan_finds(
    initial: int, unordered: list[tuple[int, int]], pos: int
) -> None:
    ordered = sorted(unordered)
    changes = Changes(initial, ordered)

    assert changes.before(pos) == ([initial, *(v for p, v in ordered if p < pos)])[-1]
    assert changes.after(pos) == ([initial, *(v for p, v in ordered if p <= pos)])[-1]
    for _, value in ordered:
        assert changes.last_pos_of(value) == max(p for p, v in ordered if v == value)
    assert Changes(initial).last_pos_of(initial) is None
