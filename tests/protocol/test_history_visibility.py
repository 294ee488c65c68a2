"""Who may see which event (CS "Room History Visibility")."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.auth_room import BOB
from tremula.protocol.history_visibility import (
    History,
    HistoryVisibility,
    Viewer,
    is_visible,
)

WORLD_READABLE = HistoryVisibility.WORLD_READABLE
SHARED = HistoryVisibility.SHARED
INVITED = HistoryVisibility.INVITED
JOINED = HistoryVisibility.JOINED

MEMBERSHIPS = ["invite", "join", "leave", "ban", "knock"]


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
    visibility: HistoryVisibility, membership: str, *, joined_later: bool
) -> None:
    allowed = (
        visibility == "world_readable"
        or membership == "join"
        or (visibility == "shared" and joined_later)
        or (membership == "invite" and visibility == "invited")
    )

    assert is_visible(visibility, membership, joined_later=joined_later) is allowed


@dataclass
class Event:
    """An event of which only the position counts."""

    room_pos: int


def _viewer(
    memberships: History,
    *,
    visibility: HistoryVisibility = SHARED,
    changes: History = (),
) -> Viewer:
    return Viewer(BOB, memberships, [(-100, visibility), *changes])


def _seen(viewer: Viewer, last: int, first: int = 1) -> list[int]:
    events = [Event(room_pos=pos) for pos in range(first, last + 1)]
    seen = viewer.visible(events)
    assert seen == [event for event in events if viewer.can_see(event)]
    return [event.room_pos for event in seen]


# Invited at 3, joined at 5, left at 7.
VISIT = [(3, "invite"), (5, "join"), (7, "leave")]


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

    assert _seen(viewer, 5, first=-8) == list(range(-5, 3))


def test_a_room_is_shared_until_it_is_set_otherwise() -> None:
    assert _seen(Viewer(BOB, [(3, "join"), (4, "leave")], []), 5) == [1, 2, 3, 4]
    assert _seen(Viewer(BOB, [(4, "join")], [(2, JOINED)]), 5) == [1, 2, 4, 5]


def test_a_viewer_knows_the_membership_at_an_event() -> None:
    viewer = _viewer(VISIT)

    memberships = [viewer.membership_at(Event(pos)) for pos in (1, 3, 4, 5, 7, 8)]

    assert memberships == ["leave", "invite", "invite", "join", "leave", "leave"]


def test_a_viewer_knows_whether_they_were_ever_joined() -> None:
    assert _viewer(VISIT).was_ever_joined
    assert not _viewer([(3, "invite"), (4, "leave")]).was_ever_joined
    assert not _viewer([]).was_ever_joined


def _histories(values: list[str]) -> st.SearchStrategy[list[tuple[int, str]]]:
    changes = st.tuples(st.integers(0, 20), st.sampled_from(values))
    return st.lists(changes, unique_by=lambda change: change[0]).map(sorted)


@given(
    _histories(MEMBERSHIPS), _histories(list(HistoryVisibility)), st.integers(-1, 21)
)
def test_a_viewer_sees_what_a_plain_scan_finds(
    memberships: list[tuple[int, str]],
    visibilities: list[tuple[int, str]],
    pos: int,
) -> None:
    joined_later = any(at > pos and value == "join" for at, value in memberships)

    def visible_at(last: int) -> bool:
        membership = [value for at, value in memberships if at <= last][-1:]
        visibility = [value for at, value in visibilities if at <= last][-1:]
        return is_visible(
            (visibility or [SHARED])[0],
            (membership or ["leave"])[0],
            joined_later=joined_later,
        )

    viewer = Viewer(BOB, memberships, visibilities)

    assert viewer.can_see(Event(pos)) is (visible_at(pos - 1) or visible_at(pos))


@given(_histories(MEMBERSHIPS), _histories(list(HistoryVisibility)))
def test_a_narrowed_span_has_all_that_is_visible(
    memberships: list[tuple[int, str]], visibilities: list[tuple[int, str]]
) -> None:
    viewer = Viewer(BOB, memberships, visibilities)
    visible = [pos for pos in range(-2, 23) if viewer.can_see(Event(pos))]

    first, last = viewer.narrow((-2, 22))

    assert all(first <= pos <= last for pos in visible)


def test_a_span_is_narrowed_to_a_visit() -> None:
    """Whoever reads by time walks past none of what came before and after."""
    viewer = Viewer(BOB, VISIT, [(-20, JOINED)])

    assert viewer.narrow((-10, 100)) == (5, 7)
    assert Viewer(BOB, [], [(-20, JOINED)]).narrow((2, 9)) == (9, 9)


@given(
    _histories(MEMBERSHIPS),
    _histories(list(HistoryVisibility)),
    st.integers(-2, 22),
)
def test_a_viewer_of_earlier_knows_nothing_that_came_after(
    memberships: list[tuple[int, str]], visibilities: list[tuple[int, str]], pos: int
) -> None:
    viewer = Viewer(BOB, memberships, visibilities)

    assert viewer.until(pos) == Viewer(
        BOB,
        [change for change in memberships if change[0] <= pos],
        [change for change in visibilities if change[0] <= pos],
    )
