"""What servers may send to wear a resolution down (HOSTILE "Federation"), and costs."""

from collections.abc import Callable

import pytest

from tests.protocol.state_resolution.dag import (
    ALICE,
    BOB,
    CAROL,
    TOPIC,
    Dag,
    Fields,
    without,
)
from tests.protocol.state_resolution.literal import State
from tremula.protocol.room_state import JOIN_RULES, POWER_LEVELS, member_key
from tremula.protocol.state_resolution.auth_graph import Loader
from tremula.protocol.state_resolution.full_conflicted_set import auth_difference

VERSIONS = ["1", "2", "11", "12"]


@pytest.fixture(params=VERSIONS)
def dag(request: pytest.FixtureRequest) -> Dag:
    """An empty room of each kind of version."""
    return Dag(request.param)


def test_an_event_that_cites_itself_is_taken_as_if_it_did_not(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.topic(base, "$left", ALICE, ts=20, depth=20)
    right = dag.topic(base, "$right", ALICE, more_auth=["$right"], ts=21, depth=21)

    assert dag.resolve_once([left, right])[TOPIC] == "$right"


def test_a_circle_ends_where_it_would_lead_back_to_a_later_event(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.levels(base, "$one", ALICE, {BOB: 1}, more_auth=["$two"], ts=21)
    right = dag.levels(base, "$two", ALICE, {BOB: 2}, more_auth=["$one"], ts=20)
    left = dag.topic(left, "$left", ALICE, ts=22)

    for states in ([left, right], [right, left]):
        resolved = dag.resolve_once(states)
        # In room version 1 by depth; then $two cites $one and comes after it.
        assert resolved[POWER_LEVELS] == "$two"
        assert resolved[TOPIC] == "$left"


def test_an_auth_event_that_is_not_to_be_had_is_left_out(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.topic(base, "$topic", ALICE, more_auth=["$unknown"])
    right = dag.member(base, "$ban", BOB, "ban", by=ALICE, more_auth=["$unknown"])

    assert dag.resolve(left, right) == {**left, **right}


def test_a_conflicted_event_that_is_not_to_be_had_is_ignored(dag: Dag) -> None:
    base = dag.topic(dag.found(), "$topic", ALICE)
    lost = dag.topic(base, "$lost", ALICE)
    loaded = dag.loaded()
    del dag.events["$lost"]

    assert loaded.resolve([lost, base]) == {TOPIC: "$topic"}


@pytest.mark.parametrize("dag", ["12"], indirect=True)
@pytest.mark.parametrize("name", ["$create", "$other-room"])
def test_without_the_create_event_of_the_room_nothing_is_allowed(
    dag: Dag, name: str
) -> None:
    base = dag.found()
    left = dag.topic(base, "$topic", ALICE)
    loaded = dag.loaded()
    if name == "$create":
        del dag.events[name]
    else:
        left, base = (without(each, ("m.room.create", "")) for each in (left, base))

    assert loaded.resolve([left, base]) == {}


@pytest.mark.parametrize("event_type", ["m.room.message", "m.room.power_levels"])
def test_an_auth_event_that_is_no_state_event_is_never_applied(
    dag: Dag, event_type: str
) -> None:
    base = dag.found(BOB)
    dag.send(base, "$message", (event_type, None), ALICE, {})
    left = dag.topic(base, "$topic", ALICE, more_auth=["$message"])

    assert dag.resolve(left, base) == left


def test_state_with_content_of_any_shape_is_resolved(dag: Dag) -> None:
    base = dag.found(BOB)
    left = dag.send(base, "$p", POWER_LEVELS, ALICE, {"users": ["@bob:b.example"]})
    left = dag.send(left, "$m", member_key(BOB), ALICE, {"membership": {"a": 1}})
    right = dag.send(base, "$r", JOIN_RULES, ALICE, {"join_rule": 5})
    right = dag.send(right, "$p2", POWER_LEVELS, BOB, {"users_default": "x"})

    resolved = dag.resolve(left, right)

    assert resolved[member_key(ALICE)] == "$alice"


@pytest.fixture
def crowd(dag: Dag) -> State:
    """A room with 1,000 members."""
    state = dag.found(BOB)
    for number in range(1_000):
        state = dag.member(state, f"$user-{number}", f"@u{number}:c.example", "join")
    return state


def test_members_that_have_no_part_in_it_are_not_loaded(dag: Dag, crowd: State) -> None:
    left = dag.topic(crowd, "$topic", ALICE)
    right = dag.member(crowd, "$ban", BOB, "ban", by=ALICE)

    resolved = dag.resolve_once([left, right])

    assert resolved == {**left, **right}
    whole = dag.asked_for_events
    assert {name for name in whole if name.startswith("$user")} == set()
    # Some of the newest, for their auth events: they lead to what all events cite.
    assert len(dag.asked_for_edges) < 150


@pytest.mark.parametrize("dag", ["2", "12"], indirect=True)
def test_the_auth_difference_is_exact_where_it_takes_the_whole_room(
    dag: Dag,
) -> None:
    """The one who cites what is sought may be the oldest of many."""
    base = dag.levels(dag.found(BOB, CAROL), "$p", ALICE, {BOB: 50, CAROL: 50})
    once = base
    base = dag.send(base, "$name", ("m.room.name", ""), BOB, {})
    for number in range(500):
        base = dag.member(base, f"$user-{number}", f"@u{number}:c.example", "join")
    # Both send by what they were before; only Bob had sent something then.
    for name, user_id in (("$bob-again", BOB), ("$carol-again", CAROL)):
        base = dag.member(base, name, user_id, "join", auth=["$p", "$rule"])
    left = {**base, TOPIC: dag.topic(once, "$by-bob", BOB)[TOPIC]}
    avatar = ("m.room.avatar", "")
    left[avatar] = dag.send(once, "$by-carol", avatar, CAROL, {})[avatar]
    loaded = dag.loaded()
    forked = loaded.forked([left, base])

    difference = loaded.run(auth_difference(forked, Loader(loaded.graph)))

    assert loaded.named(difference) == {"$carol"}


def steps(dag: Dag, *states: State) -> int:
    """How often a resolution looks at the auth events of an event."""
    loaded = dag.loaded()
    loaded.resolve(states)
    return loaded.edges.reads


def ladder(dag: Dag, length: int) -> tuple[State, State]:
    """Power levels that all cite each of the ten before them: 10^length ways down."""
    left = right = dag.found(BOB)
    names: list[str] = []
    for number in range(length):
        fields: Fields = {"more_auth": names[-9:], "ts": 100 + number}
        left = dag.levels(left, f"$p{number}", ALICE, {BOB: number % 100}, **fields)
        names.append(f"$p{number}")
    return left, right


def comb(dag: Dag, length: int) -> tuple[State, State]:
    """A chain of kicks and joins, and of every join a topic that leads back to it."""
    left = right = dag.levels(dag.found(BOB), "$p", ALICE, {BOB: 50})
    for number in range(length):
        left = dag.member(left, f"$kick{number}", BOB, "leave", by=ALICE)
        left = dag.member(left, f"$join{number}", BOB, "join")
        left = dag.send(left, f"$note{number}", ("m.note", str(number)), BOB, {})
    return left, right


def levels_off_the_mainline(dag: Dag, length: int) -> tuple[State, State]:
    """Two chains of power levels, and topics that hang everywhere on the losing one."""
    base = dag.found(BOB)
    left = right = base
    for number in range(length):
        left = dag.levels(left, f"$l{number}", ALICE, {BOB: 1}, ts=100 + number)
        right = dag.levels(right, f"$r{number}", ALICE, {BOB: 2}, ts=900 + number)
        key = ("m.note", str(number))
        left = dag.send(left, f"$note{number}", key, ALICE, {}, ts=50)
    return left, right


@pytest.mark.parametrize("version", ["2", "12"])
@pytest.mark.parametrize("crafted", [ladder, comb, levels_off_the_mainline])
def test_cve_2024_31208_crafted_graphs_cost_what_they_hold(
    version: str, crafted: Callable[[Dag, int], tuple[State, State]]
) -> None:
    """Ten times the events: ten times the work, and no deeper a stack."""
    small, large = Dag(version), Dag(version)

    little = steps(small, *crafted(small, 150))
    much = steps(large, *crafted(large, 1_500))

    assert little > 150
    assert much < 12 * little
