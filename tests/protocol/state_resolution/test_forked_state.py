"""RV2 "Unconflicted state map and conflicted state set"."""

from tremula.protocol.room_state import CREATE, JOIN_RULES, POWER_LEVELS, member_key
from tremula.protocol.state_resolution import ForkedState

BOB = member_key("@bob:b.example")
CAROL = member_key("@carol:c.example")
LEFT = {CREATE: 1, POWER_LEVELS: 2, JOIN_RULES: 3, BOB: 4}
RIGHT = {CREATE: 1, POWER_LEVELS: 2, JOIN_RULES: 5, CAROL: 6}


def test_what_all_states_have_is_unconflicted() -> None:
    forked = ForkedState.of([LEFT, RIGHT], {*LEFT, *RIGHT})

    assert forked.unconflicted(CREATE) == 1
    assert forked.unconflicted(POWER_LEVELS) == 2
    assert sorted(forked.unconflicted_nids()) == [1, 2]


def test_what_differs_or_is_not_in_all_states_is_conflicted() -> None:
    forked = ForkedState.of([LEFT, RIGHT], {*LEFT, *RIGHT})

    assert forked.keys == {JOIN_RULES, BOB, CAROL}
    assert forked.conflicted == ({JOIN_RULES: 3, BOB: 4}, {JOIN_RULES: 5, CAROL: 6})
    assert forked.conflicted_nids() == {3, 4, 5, 6}
    assert [forked.unconflicted(key) for key in forked.keys] == [None] * 3


def test_what_no_state_has_is_neither() -> None:
    key = member_key("@dave:d.example")
    forked = ForkedState.of([LEFT, RIGHT], {*LEFT, *RIGHT, key})

    assert key not in forked.keys
    assert forked.unconflicted(key) is None


def test_states_are_compared_at_no_other_keys_than_those_given() -> None:
    forked = ForkedState.of([LEFT, RIGHT], [JOIN_RULES, BOB, CAROL, CREATE])

    assert forked == ForkedState.of([LEFT, RIGHT], {*LEFT, *RIGHT})
