"""The passes of RV1 "State resolution", each by itself."""

from hashlib import sha1

import pytest

from tests.protocol.state_resolution.dag import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    TOPIC,
    Dag,
    without,
)
from tremula.protocol.room_state import CREATE, JOIN_RULES, POWER_LEVELS, member_key


@pytest.fixture
def dag() -> Dag:
    """An empty room of version 1."""
    return Dag("1")


def by_sha1(*names: str) -> list[str]:
    """Event IDs by their hash, ascending."""
    return sorted(
        names, key=lambda name: sha1(name.encode(), usedforsecurity=False).hexdigest()
    )


def test_the_union_of_states_is_taken_unchecked_but_for_conflicts(dag: Dag) -> None:
    """What only some states have is no conflict in this version."""
    base = dag.found(BOB)
    left = dag.topic(base, "$not-allowed", BOB)
    right = dag.member(base, "$carol", CAROL, "join")

    assert dag.resolve(left, right, base) == {**left, **right}
    assert not dag.asked_for_events & {"$not-allowed", "$carol"}


def test_power_levels_are_taken_by_ascending_depth(dag: Dag) -> None:
    base = dag.found()
    left = dag.levels(base, "$low", ALICE, {BOB: 10}, depth=11)
    right = dag.levels(base, "$high", ALICE, {BOB: 20}, depth=12)

    assert dag.resolve(left, right)[POWER_LEVELS] == "$high"


def test_the_first_is_taken_unchecked(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.levels(base, "$by-bob", BOB, {BOB: 100}, depth=1)
    right = dag.levels(base, "$by-carol", CAROL, {CAROL: 100}, depth=2)

    assert dag.resolve(left, right)[POWER_LEVELS] == "$by-bob"


def test_the_pass_stops_at_the_first_that_is_not_allowed(dag: Dag) -> None:
    base = dag.found(BOB)
    states = [
        dag.levels(base, "$first", ALICE, {}, depth=11),
        dag.levels(base, "$not-allowed", BOB, {}, depth=12),
        dag.levels(base, "$never-seen", ALICE, {}, depth=13),
    ]

    assert dag.resolve(*states)[POWER_LEVELS] == "$first"


def test_each_is_checked_in_the_state_that_those_before_it_made(dag: Dag) -> None:
    base = dag.found(BOB)
    states = [
        dag.levels(base, "$first", ALICE, {BOB: 100}, depth=11),
        dag.levels(base, "$second", BOB, {BOB: 100, CAROL: 50}, depth=12),
    ]

    assert dag.resolve(*states)[POWER_LEVELS] == "$second"


def test_of_the_same_depth_the_lower_hash_is_the_last(dag: Dag) -> None:
    base = dag.found()
    names = ("$a", "$b", "$c")
    states = [dag.levels(base, name, ALICE, {}, depth=9) for name in names]

    assert dag.resolve(*states)[POWER_LEVELS] == by_sha1(*names)[0]


def test_join_rules_are_checked_by_the_resolved_power_levels(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.levels(base, "$low", ALICE, {}, depth=11)
    right = dag.levels(base, "$high", ALICE, {BOB: 50}, depth=12)
    left = dag.send(left, "$invite", JOIN_RULES, ALICE, {"join_rule": "invite"})
    right = dag.send(right, "$knock", JOIN_RULES, BOB, {"join_rule": "invite"})

    resolved = dag.resolve(left, right)

    assert resolved[POWER_LEVELS] == "$high"
    assert resolved[JOIN_RULES] == "$knock"


def test_members_are_checked_by_the_resolved_join_rules(dag: Dag) -> None:
    base = dag.found(BOB)
    gone = dag.member(base, "$gone", BOB, "leave")
    left = dag.send(gone, "$open", JOIN_RULES, ALICE, {"join_rule": "public"})
    right = dag.send(gone, "$closed", JOIN_RULES, ALICE, {"join_rule": "invite"})
    left = dag.member(left, "$back", BOB, "join")

    resolved = dag.resolve(left, right)

    assert resolved[JOIN_RULES] == "$closed"
    assert resolved[member_key(BOB)] == "$gone"


def test_the_conflict_of_one_member_is_no_matter_to_that_of_another(dag: Dag) -> None:
    """Bob's ban of Carol is checked in a state in which neither is decided."""
    base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 50})
    left = dag.member(base, "$ban", CAROL, "ban", by=BOB)
    right = dag.member(base, "$bob-again", BOB, "join")

    resolved = dag.resolve(left, right)

    assert resolved[member_key(BOB)] == "$bob-again"
    assert resolved[member_key(CAROL)] == "$carol"


def test_of_other_events_the_deepest_that_is_allowed_is_taken(dag: Dag) -> None:
    base = dag.found(BOB)
    states = [
        dag.topic(base, "$old", ALICE, depth=11),
        dag.topic(base, "$new", ALICE, depth=12),
        dag.topic(base, "$not-allowed", BOB, depth=13),
    ]

    assert dag.resolve(*states)[TOPIC] == "$new"


def test_of_the_same_depth_the_lowest_hash_is_taken(dag: Dag) -> None:
    base = dag.found()
    names = ("$a", "$b", "$c")
    states = [dag.topic(base, name, ALICE, depth=9) for name in names]

    assert dag.resolve(*states)[TOPIC] == by_sha1(*names)[0]


def test_other_events_are_checked_by_the_resolved_members(dag: Dag) -> None:
    base = dag.levels(dag.found(BOB), "$p", ALICE, {BOB: 50})
    base = dag.topic(base, "$old", ALICE)
    left = dag.topic(base, "$new", BOB)
    right = dag.member(base, "$ban", BOB, "ban", by=ALICE)

    resolved = dag.resolve(left, right)

    assert resolved[member_key(BOB)] == "$ban"
    assert resolved[TOPIC] == "$old"


def test_of_events_that_are_not_allowed_none_is_taken(dag: Dag) -> None:
    base = dag.found(BOB, DAVE)
    states = [
        dag.topic(base, "$by-bob", BOB),
        dag.topic(base, "$by-dave", DAVE),
    ]

    assert TOPIC not in dag.resolve(*states)


def test_without_a_create_event_nothing_is_allowed(dag: Dag) -> None:
    base = without(dag.found(), CREATE)
    states = [dag.topic(base, "$a", ALICE), dag.topic(base, "$b", ALICE)]

    assert TOPIC not in dag.resolve(*states)


def test_an_event_that_is_not_to_be_had_is_no_candidate(dag: Dag) -> None:
    base = dag.found()
    states = [
        dag.topic(base, "$a", ALICE, depth=9),
        dag.topic(base, "$lost", ALICE, depth=10),
    ]
    members = [
        dag.member(states[0], "$bob-1", BOB, "join"),
        dag.member(states[1], "$bob-2", BOB, "join"),
    ]
    loaded = dag.loaded()
    for name in ("$lost", "$bob-1", "$bob-2"):
        del dag.events[name]

    resolved = loaded.resolve(members)

    assert resolved == {TOPIC: "$a"}
