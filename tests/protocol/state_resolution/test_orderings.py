"""The definitions of RV2 and RV12, each by itself."""

import pytest

from tests.protocol.state_resolution.dag import ALICE, BOB, CAROL, TOPIC, Dag
from tremula.protocol.room_state import JOIN_RULES, POWER_LEVELS, member_key
from tremula.protocol.state_resolution.auth_graph import Loader
from tremula.protocol.state_resolution.orderings import (
    mainline_order,
    power_sort_key,
    topological_order,
)
from tremula.protocol.state_resolution.v2 import is_power_event


@pytest.mark.parametrize(
    ("key", "sender", "content", "expected"),
    [
        (POWER_LEVELS, ALICE, {}, True),
        (JOIN_RULES, ALICE, {}, True),
        (member_key(BOB), ALICE, {"membership": "leave"}, True),
        (member_key(BOB), ALICE, {"membership": "ban"}, True),
        (member_key(BOB), ALICE, {"membership": "invite"}, False),
        (member_key(BOB), BOB, {"membership": "leave"}, False),
        (member_key(BOB), BOB, {"membership": "join"}, False),
        (member_key(BOB), ALICE, {"membership": ["ban"]}, False),
        (member_key(BOB), ALICE, {}, False),
        (TOPIC, ALICE, {"membership": "ban"}, False),
        (("m.room.power_levels", None), ALICE, {}, False),
        (("m.room.member", None), ALICE, {"membership": "ban"}, False),
    ],
)
def test_power_events_are_those_that_might_take_an_ability(
    key: tuple[str, str | None],
    sender: str,
    content: dict[str, object],
    *,
    expected: bool,
) -> None:
    dag = Dag("11")
    dag.send({}, "$event", key, sender, content)

    assert is_power_event(dag.events["$event"]) is expected


def power_order(dag: Dag, *names: str) -> list[str]:
    """*names* in reverse topological power ordering, everything being loaded."""
    loaded = dag.loaded()
    loaded.add_all()
    create = dag.events["$create"] if not dag.version.create_in_auth_events else None
    keys = {
        loaded.nids[name]: power_sort_key(
            dag.version, loaded.graph, loaded.nids[name], create
        )
        for name in names
    }
    order = topological_order(loaded.graph, loaded.names.keys(), keys)
    return [loaded.names[nid] for nid in order]


@pytest.mark.parametrize("version", ["2", "11", "12"])
class TestReverseTopologicalPowerOrdering:
    """The order of power events."""

    def test_an_event_comes_after_its_auth_events(self, version: str) -> None:
        dag = Dag(version)
        base = dag.found(BOB)
        first = dag.levels(base, "$z", ALICE, {BOB: 50}, ts=9)
        dag.levels(first, "$a", ALICE, {BOB: 100}, ts=1)

        assert power_order(dag, "$a", "$z") == ["$z", "$a"]

    def test_an_event_comes_after_its_auth_chain_over_others(
        self, version: str
    ) -> None:
        dag = Dag(version)
        base = dag.found(BOB)
        first = dag.levels(base, "$z", ALICE, {BOB: 50}, ts=9)
        between = dag.levels(first, "$between", ALICE, {BOB: 60}, ts=9)
        dag.levels(between, "$a", ALICE, {BOB: 100}, ts=1)

        assert power_order(dag, "$a", "$z") == ["$z", "$a"]

    def test_1_the_sender_with_the_greater_power_level_comes_first(
        self, version: str
    ) -> None:
        dag = Dag(version)
        base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 50, CAROL: 60})
        for name, sender, ts in (("$a", BOB, 1), ("$b", CAROL, 2), ("$c", ALICE, 3)):
            dag.topic(base, name, sender, ts=ts)

        assert power_order(dag, "$a", "$b", "$c") == ["$c", "$b", "$a"]

    def test_1_the_power_level_is_the_one_in_the_events_own_auth_events(
        self, version: str
    ) -> None:
        dag = Dag(version)
        base = dag.found(BOB, CAROL)
        one = dag.levels(base, "$one", ALICE, {BOB: 50, CAROL: 60})
        two = dag.levels(base, "$two", ALICE, {BOB: 70, CAROL: 60})
        dag.topic(one, "$bob-1", BOB, ts=1)
        dag.topic(one, "$by-carol", CAROL, ts=2)
        dag.topic(two, "$bob-2", BOB, ts=3)

        order = power_order(dag, "$bob-1", "$by-carol", "$bob-2")

        assert order == ["$bob-2", "$by-carol", "$bob-1"]

    def test_1_without_power_levels_the_creator_comes_first(self, version: str) -> None:
        dag = Dag(version)
        base = dag.found(BOB)
        without = {key: name for key, name in base.items() if key != POWER_LEVELS}
        dag.topic(without, "$by-bob", BOB, ts=1)
        dag.topic(without, "$by-alice", ALICE, ts=2)

        assert power_order(dag, "$by-bob", "$by-alice") == ["$by-alice", "$by-bob"]

    def test_1_of_two_power_levels_that_are_cited_the_first_counts(
        self, version: str
    ) -> None:
        dag = Dag(version)
        base = dag.levels(dag.found(BOB, CAROL), "$one", ALICE, {BOB: 50, CAROL: 60})
        dag.levels(base, "$two", ALICE, {BOB: 70, CAROL: 60})
        dag.topic(base, "$by-bob", BOB, more_auth=["$two"], ts=1)
        dag.topic(base, "$by-carol", CAROL, ts=2)

        assert power_order(dag, "$by-bob", "$by-carol") == ["$by-carol", "$by-bob"]

    def test_2_then_the_earlier_timestamp(self, version: str) -> None:
        dag = Dag(version)
        base = dag.found()
        dag.topic(base, "$a", ALICE, ts=2)
        dag.topic(base, "$b", ALICE, ts=1)

        assert power_order(dag, "$a", "$b") == ["$b", "$a"]

    def test_3_then_the_lesser_event_id(self, version: str) -> None:
        dag = Dag(version)
        base = dag.found()
        # As characters, not by any alphabet.
        names = ["$b", "$a", "$B", "$ä", "$_"]
        for name in names:
            dag.topic(base, name, ALICE, ts=1)

        assert power_order(dag, *names) == ["$B", "$_", "$a", "$b", "$ä"]


def test_without_a_create_event_nobody_has_power() -> None:
    dag = Dag("11")
    base = dag.found(BOB)
    dag.topic(base, "$a", BOB, ts=1)
    dag.topic(base, "$b", ALICE, ts=2, auth=[base[POWER_LEVELS]])

    assert power_order(dag, "$a", "$b") == ["$a", "$b"]


def mainline(dag: Dag, power_levels: str | None, *names: str) -> list[str]:
    """*names* in mainline ordering based on *power_levels*."""
    loaded = dag.loaded()
    loaded.add_all()
    based_on = None if power_levels is None else loaded.nids[power_levels]
    nids = {loaded.nids[name] for name in names}
    order = loaded.run(mainline_order(Loader(loaded.graph), nids, based_on))
    return [loaded.names[nid] for nid in order]


@pytest.fixture
def fork() -> Dag:
    """Power levels $levels, $p1, $p2, $p3, and off these, based on $p1, $q1 and $q2.

    Each is cited by a topic of its name; the newer the level, the older the topic.
    """
    dag = Dag("11")
    state = dag.found()
    dag.topic(state, "$t-levels", ALICE, ts=90)
    branch = state = dag.levels(state, "$p1", ALICE, {BOB: 1})
    dag.topic(state, "$t-p1", ALICE, ts=80)
    for number in (2, 3):
        state = dag.levels(state, f"$p{number}", ALICE, {BOB: number})
        dag.topic(state, f"$t-p{number}", ALICE, ts=80 - 10 * number)
    for number in (1, 2):
        branch = dag.levels(branch, f"$q{number}", ALICE, {CAROL: number})
        dag.topic(branch, f"$t-q{number}", ALICE, ts=40 - 10 * number)
    dag.topic(state, "$t-none", ALICE, ts=99, auth=["$create", "$alice"])
    return dag


class TestMainlineOrdering:
    """The order of all other events."""

    def test_1_what_is_based_on_earlier_power_levels_comes_first(
        self, fork: Dag
    ) -> None:
        names = ["$t-p3", "$t-p2", "$t-p1", "$t-levels"]

        assert mainline(fork, "$p3", *names) == names[::-1]

    def test_1_a_branch_has_the_position_of_where_it_leaves_the_mainline(
        self, fork: Dag
    ) -> None:
        names = ["$t-p2", "$t-p1", "$t-q2", "$t-q1", "$t-levels"]

        assert mainline(fork, "$p3", *names) == [
            "$t-levels",
            *("$t-q2", "$t-q1", "$t-p1"),  # by their timestamps
            "$t-p2",
        ]

    def test_1_what_is_based_on_none_of_the_mainline_comes_first_of_all(
        self, fork: Dag
    ) -> None:
        assert mainline(fork, "$p3", "$t-levels", "$t-none", "$t-p1") == [
            "$t-none",
            "$t-levels",
            "$t-p1",
        ]

    def test_1_power_levels_have_the_position_of_those_they_cite(
        self, fork: Dag
    ) -> None:
        assert mainline(fork, "$p3", "$p3", "$t-p2", "$p2", "$t-p1") == [
            "$p2",
            "$t-p1",
            "$p3",
            "$t-p2",
        ]

    def test_1_newer_power_levels_than_the_mainlines_count_by_their_own(
        self, fork: Dag
    ) -> None:
        assert mainline(fork, "$p2", "$t-p3", "$t-p2", "$t-p1") == [
            "$t-p1",
            "$t-p3",  # ∞ would come first, and a mainline of its own last
            "$t-p2",
        ]

    def test_2_then_the_earlier_timestamp(self, fork: Dag) -> None:
        names = ["$t-levels", "$t-p1", "$t-p2", "$t-p3", "$t-q1", "$t-q2"]

        assert mainline(fork, None, *names) == [
            *("$t-q2", "$t-q1", "$t-p3", "$t-p2", "$t-p1", "$t-levels")
        ]

    def test_3_then_the_lesser_event_id(self) -> None:
        dag = Dag("11")
        base = dag.found()
        for name in ("$b", "$c", "$a"):
            dag.topic(base, name, ALICE, ts=1)

        assert mainline(dag, "$levels", "$b", "$c", "$a") == ["$a", "$b", "$c"]
