"""State that version 2 of the algorithm resets and 2.1 keeps (MSC4297, CVE-2025-49090).

Each room forks as rooms do when servers see each other's events late, or when one of
them answers with a state that is not what it was. The expected losses are in the
tests because room versions 2 to 11 have them for good.
"""

import pytest

from tests.protocol.state_resolution.dag import ALICE, BOB, CAROL, TOPIC, Dag, without
from tremula.protocol.room_state import JOIN_RULES, POWER_LEVELS, member_key

resets = pytest.mark.parametrize(
    ("version", "is_reset"), [("2", True), ("11", True), ("12", False)]
)


def expected(kept: str, lost: str, *, is_reset: bool) -> str:
    """Which event a reset leaves."""
    return lost if is_reset else kept


@resets
def test_a_join_is_not_undone_by_join_rules_that_came_after_it(
    version: str, *, is_reset: bool
) -> None:
    """Bob left and joined again while the room was public. All agree that it no
    longer is, but one branch has his leave.
    """
    dag = Dag(version)
    base = dag.found(BOB)
    left_room = dag.member(base, "$bob-left", BOB, "leave")
    joined = dag.member(left_room, "$bob-again", BOB, "join")
    closed = dag.send(joined, "$closed", JOIN_RULES, ALICE, {"join_rule": "invite"})
    stale = {**closed, member_key(BOB): "$bob-left"}

    resolved = dag.resolve(closed, stale)

    assert resolved[member_key(BOB)] == expected(
        "$bob-again", "$bob-left", is_reset=is_reset
    )


@resets
def test_a_member_that_one_branch_lacks_does_not_vanish(
    version: str, *, is_reset: bool
) -> None:
    dag = Dag(version)
    joined = dag.found(BOB, CAROL)
    closed = dag.send(joined, "$closed", JOIN_RULES, ALICE, {"join_rule": "invite"})

    resolved = dag.resolve(closed, without(closed, member_key(BOB)))

    assert (member_key(BOB) not in resolved) is is_reset


@resets
def test_a_topic_is_not_lost_with_the_power_of_who_set_it(
    version: str, *, is_reset: bool
) -> None:
    dag = Dag(version)
    base = dag.topic(dag.found(BOB), "$old", ALICE)
    promoted = dag.levels(base, "$promoted", ALICE, {BOB: 50})
    changed = dag.topic(promoted, "$new", BOB)
    demoted = dag.levels(changed, "$demoted", ALICE, {})
    stale = {**demoted, TOPIC: "$old"}

    resolved = dag.resolve(demoted, stale)

    assert resolved[TOPIC] == expected("$new", "$old", is_reset=is_reset)


@resets
def test_a_ban_is_not_undone_by_the_departure_of_who_banned(
    version: str, *, is_reset: bool
) -> None:
    dag = Dag(version)
    base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 50})
    banned = dag.member(base, "$ban", CAROL, "ban", by=BOB)
    moderator_gone = dag.member(banned, "$bob-left", BOB, "leave")
    stale = {**moderator_gone, member_key(CAROL): "$carol"}

    resolved = dag.resolve(moderator_gone, stale)

    assert resolved[member_key(CAROL)] == expected("$ban", "$carol", is_reset=is_reset)


@resets
def test_cve_2025_49090_power_levels_are_not_reset_for_want_of_those_between(
    version: str, *, is_reset: bool
) -> None:
    """Why 2.1 has the conflicted state subgraph: the levels that gave Bob the right to
    set new ones are in both auth chains, so in no auth difference.
    """
    dag = Dag(version)
    base = dag.found(BOB)
    between = dag.levels(base, "$between", ALICE, {BOB: 100})
    named = dag.topic(between, "$topic", ALICE)
    newest = dag.levels(named, "$newest", BOB, {BOB: 100, CAROL: 50})
    stale = {**newest, POWER_LEVELS: "$levels"}

    resolved = dag.resolve(newest, stale)

    assert resolved[POWER_LEVELS] == expected("$newest", "$levels", is_reset=is_reset)


@resets
def test_a_member_is_not_reset_for_want_of_the_inviter_between(
    version: str, *, is_reset: bool
) -> None:
    """Bob's kick and his way back, by the invite of somebody promoted meanwhile."""
    dag = Dag(version)
    base = dag.found(BOB, CAROL, join_rule="public")
    kicked = dag.member(base, "$kick", BOB, "leave", by=ALICE)
    closed = dag.send(kicked, "$closed", JOIN_RULES, ALICE, {"join_rule": "invite"})
    invited = dag.member(closed, "$invite", BOB, "invite", by=CAROL)
    back = dag.member(invited, "$back", BOB, "join")
    # Something that all agree on cites the invite, so that it is no difference.
    back = dag.send(back, "$note", ("m.note", ""), ALICE, {}, more_auth=["$invite"])
    stale = {**back, member_key(BOB): "$kick"}

    resolved = dag.resolve(back, stale)

    assert resolved[member_key(BOB)] == expected("$back", "$kick", is_reset=is_reset)
