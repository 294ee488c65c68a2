"""The steps of RV2 and RV12 "State resolution", each by itself."""

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
from tests.protocol.state_resolution.literal import State
from tremula.protocol.room_state import JOIN_RULES, POWER_LEVELS, member_key

NAME = ("m.room.name", "")


@pytest.fixture(params=["2", "3", "6", "8", "10", "11", "12"])
def dag(request: pytest.FixtureRequest) -> Dag:
    """A room in each version, or in those that a test names."""
    return Dag(request.param)


v2_only = pytest.mark.parametrize("dag", ["2", "11"], indirect=True)
v2_1_only = pytest.mark.parametrize("dag", ["12"], indirect=True)


def test_states_that_agree_are_their_resolution(dag: Dag) -> None:
    state = dag.found(BOB)

    assert dag.resolve(state, state, state) == state
    assert dag.asked_for_edges <= {"$create", "$levels", "$rule"}
    assert dag.asked_for_events <= {"$create"}


def test_one_state_is_its_resolution(dag: Dag) -> None:
    state = dag.found(BOB)

    assert dag.resolve(state) == state


def test_states_without_entries_have_an_empty_resolution(dag: Dag) -> None:
    assert dag.resolve({}, {}) == {}


def test_what_each_branch_added_is_in_the_resolution(dag: Dag) -> None:
    base = dag.found()
    left = dag.member(base, "$bob", BOB, "join")
    right = dag.topic(dag.member(base, "$carol", CAROL, "join"), "$t", ALICE)

    assert dag.resolve(left, right) == {**left, **right}


def test_1_a_ban_is_checked_before_what_the_banned_user_sent(dag: Dag) -> None:
    base = dag.levels(dag.found(BOB), "$p", ALICE, {BOB: 50})
    left = dag.topic(base, "$topic", BOB, ts=1)
    right = dag.member(base, "$ban", BOB, "ban", by=ALICE, ts=2)

    resolved = dag.resolve(left, right)

    assert resolved[member_key(BOB)] == "$ban"
    assert TOPIC not in resolved


def test_1_leaving_by_oneself_is_no_power_event(dag: Dag) -> None:
    base = dag.levels(dag.found(BOB), "$p", ALICE, {BOB: 50})
    left = dag.topic(base, "$topic", BOB, ts=11)
    right = dag.member(base, "$leave", BOB, "leave", ts=12)

    assert dag.resolve(left, right) == {**left, **right}


def test_1_what_a_power_event_leans_on_is_checked_with_it(dag: Dag) -> None:
    """Dave's join is no power event, but his ban of Bob needs it before the rest."""
    base = dag.levels(dag.found(BOB), "$p", ALICE, {BOB: 50, DAVE: 100})
    left = dag.member(base, "$dave", DAVE, "join", ts=8)
    left = dag.member(left, "$ban", BOB, "ban", by=DAVE, ts=9)
    right = dag.topic(base, "$topic", BOB, ts=1)

    resolved = dag.resolve(left, right)

    assert resolved[member_key(BOB)] == "$ban"
    assert resolved[member_key(DAVE)] == "$dave"
    assert TOPIC not in resolved


def test_1_of_two_admins_the_more_powerful_wins(dag: Dag) -> None:
    base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 90, CAROL: 80})
    left = dag.member(base, "$bob-out", BOB, "ban", by=ALICE, ts=9)
    right = dag.member(base, "$carol-out", CAROL, "ban", by=BOB, ts=1)

    resolved = dag.resolve(left, right)

    assert resolved[member_key(BOB)] == "$bob-out"
    assert resolved[member_key(CAROL)] == "$carol"


def test_1_what_all_states_have_is_not_in_question(dag: Dag) -> None:
    """Bob's join and Carol's lead to one branch each, and do not decide the order."""
    base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 50, CAROL: 50})
    left = dag.levels(base, "$by-bob", BOB, {BOB: 50, CAROL: 50, DAVE: 1}, ts=12)
    right = dag.levels(base, "$by-carol", CAROL, {BOB: 50, CAROL: 50, DAVE: 2}, ts=11)

    assert dag.resolve(left, right)[POWER_LEVELS] == "$by-bob"


def test_1_power_is_read_from_levels_that_are_older_than_all_in_question(
    dag: Dag,
) -> None:
    base = dag.found(BOB, CAROL, DAVE)
    base = dag.levels(base, "$then", ALICE, {BOB: 50, CAROL: 60})
    now = dag.levels(base, "$now", ALICE, {BOB: 70, CAROL: 60})
    dag.member(base, "$by-bob", DAVE, "leave", by=BOB, ts=11)
    dag.member(base, "$by-carol", DAVE, "leave", by=CAROL, ts=12)

    resolved = dag.resolve(
        {**now, member_key(DAVE): "$by-bob"}, {**now, member_key(DAVE): "$by-carol"}
    )

    # Carol's comes first, as she had more power then; so Bob's is the last.
    assert resolved[member_key(DAVE)] == "$by-bob"


def test_2_an_event_that_is_not_allowed_is_ignored(dag: Dag) -> None:
    base = dag.topic(dag.found(BOB), "$topic", ALICE)
    left = dag.topic(base, "$powerless", BOB)

    assert dag.resolve(left, base)[TOPIC] == "$topic"


def test_2_of_two_power_levels_the_later_applies_over_the_earlier(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.levels(base, "$one", ALICE, {BOB: 50}, ts=1)
    right = dag.levels(base, "$two", ALICE, {BOB: 60}, ts=2)

    assert dag.resolve(left, right)[POWER_LEVELS] == "$two"


def test_2_power_that_was_taken_cannot_be_used_in_another_branch(dag: Dag) -> None:
    base = dag.levels(dag.found(BOB), "$p", ALICE, {BOB: 50})
    left = dag.levels(base, "$demoted", ALICE, {}, ts=2)
    right = dag.send(base, "$open", JOIN_RULES, BOB, {"join_rule": "knock"}, ts=1)

    resolved = dag.resolve(left, right)

    assert resolved[POWER_LEVELS] == "$demoted"
    assert resolved[JOIN_RULES] == "$rule"


def test_2_what_the_state_lacks_is_taken_from_the_events_auth_events(dag: Dag) -> None:
    """Carol's membership is in conflict, and not decided when hers is checked."""
    base = dag.found(CAROL)
    left = dag.member(base, "$carol-again", CAROL, "join")
    right = dag.member(base, "$carol-out", CAROL, "leave", ts=0)

    assert dag.resolve(left, right)[member_key(CAROL)] == "$carol-again"


def test_2_a_rejected_auth_event_is_not_used(dag: Dag) -> None:
    base = dag.levels(dag.found(CAROL), "$p", ALICE, {CAROL: 50})
    # In all auth chains, so that Carol's membership is not checked again.
    base = dag.send(base, "$name", NAME, CAROL, {})
    left = without(dag.topic(base, "$topic", CAROL), member_key(CAROL))
    right = without(base, member_key(CAROL))
    assert dag.resolve(left, right)[TOPIC] == "$topic"

    dag.rejected.add("$carol")

    assert TOPIC not in dag.resolve(left, right)


def test_a_rejected_event_of_a_state_is_handled_as_usual(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.topic(base, "$topic", ALICE)
    dag.rejected.add("$topic")

    assert dag.resolve(left, base)[TOPIC] == "$topic"


def test_2_of_two_auth_events_for_one_key_the_first_is_used(dag: Dag) -> None:
    base = dag.levels(dag.found(CAROL), "$p", ALICE, {CAROL: 50})
    gone = dag.member(base, "$gone", CAROL, "leave")
    right = dag.send(base, "$name", NAME, CAROL, {}, more_auth=["$gone"])
    joined_first = dag.topic(right, "$in-out", CAROL, more_auth=["$gone"])
    gone_first = dag.topic({**right, **gone}, "$out-in", CAROL, more_auth=["$carol"])

    def topic(left: State) -> str | None:
        branches = (without(each, member_key(CAROL)) for each in (left, right))
        return dag.resolve(*branches).get(TOPIC)

    assert topic(joined_first) == "$in-out"
    assert topic(gone_first) is None


@v2_only
def test_2_v2_starts_from_the_unconflicted_state(dag: Dag) -> None:
    base = dag.found(BOB)
    promoted = dag.levels(base, "$p", ALICE, {BOB: 50})
    left = dag.topic(promoted, "$topic", BOB)
    gone = dag.member(left, "$gone", BOB, "leave")
    right = without(gone, TOPIC)

    assert TOPIC not in dag.resolve(gone, right)


@v2_1_only
def test_2_v2_1_starts_from_an_empty_state(dag: Dag) -> None:
    base = dag.found(BOB)
    promoted = dag.levels(base, "$p", ALICE, {BOB: 50})
    left = dag.topic(promoted, "$topic", BOB)
    gone = dag.member(left, "$gone", BOB, "leave")
    right = without(gone, TOPIC)

    assert dag.resolve(gone, right)[TOPIC] == "$topic"


def test_3_other_events_are_ordered_by_the_resolved_power_levels(dag: Dag) -> None:
    """The later branch of power levels wins, though its topic was sent first."""
    base = dag.found(BOB)
    left = dag.levels(base, "$p", ALICE, {BOB: 50}, ts=1)
    left = dag.topic(left, "$newer-levels", ALICE, ts=2)
    right = dag.topic(base, "$older-levels", ALICE, ts=3)

    assert dag.resolve(left, right)[TOPIC] == "$newer-levels"


def test_3_of_events_with_the_same_power_levels_the_later_wins(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.topic(base, "$a", ALICE, ts=2)
    right = dag.topic(base, "$b", ALICE, ts=1)

    assert dag.resolve(left, right)[TOPIC] == "$a"


def test_4_other_events_are_checked_in_the_state_that_power_events_left(
    dag: Dag,
) -> None:
    base = dag.found(BOB)
    left = dag.send(base, "$invite-only", JOIN_RULES, ALICE, {"join_rule": "invite"})
    right = dag.member(base, "$carol", CAROL, "join", ts=0)

    resolved = dag.resolve(left, right)

    assert resolved[JOIN_RULES] == "$invite-only"
    assert member_key(CAROL) not in resolved


def test_5_the_unconflicted_state_is_never_replaced(dag: Dag) -> None:
    """Old power levels come up again in an auth difference; they stay old."""
    base = dag.found(BOB)
    first = dag.levels(base, "$first", ALICE, {BOB: 50})
    second = dag.levels(base, "$second", ALICE, {BOB: 60})
    left = dag.topic(first, "$topic", BOB)
    left = {**left, POWER_LEVELS: "$second"}

    resolved = dag.resolve(left, second)

    assert resolved[POWER_LEVELS] == "$second"


def test_what_no_state_has_can_come_back_from_an_auth_difference(dag: Dag) -> None:
    """So the result may have keys that are in no state."""
    base = dag.found(BOB)
    kicked = dag.member(base, "$kick", BOB, "leave", by=ALICE)
    left = dag.member(kicked, "$back", BOB, "join")
    left = dag.topic(dag.levels(left, "$p", ALICE, {BOB: 50}), "$topic", BOB)
    left = without(left, member_key(BOB))
    right = without(left, TOPIC)

    assert dag.resolve(left, right)[member_key(BOB)] == "$back"


def test_a_restricted_join_was_signed_when_it_was_accepted() -> None:
    dag = Dag("8")
    base = dag.found(BOB)
    base = dag.send(base, "$restricted", JOIN_RULES, ALICE, {"join_rule": "restricted"})
    content = {"membership": "join", "join_authorised_via_users_server": BOB}
    left = dag.send(base, "$carol", member_key(CAROL), CAROL, content)

    assert dag.resolve(left, base)[member_key(CAROL)] == "$carol"


def test_three_branches_resolve_at_once(dag: Dag) -> None:
    base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 50, CAROL: 50})
    one = dag.topic(base, "$one", BOB, ts=1)
    two = dag.topic(base, "$two", CAROL, ts=2)
    three = dag.member(base, "$ban", CAROL, "ban", by=ALICE, ts=3)

    resolved = dag.resolve(one, two, three)

    assert resolved[TOPIC] == "$one"
    assert resolved[member_key(CAROL)] == "$ban"
