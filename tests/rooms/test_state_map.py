"""A room's state in memory: what a changed copy has, and what it costs."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremula.protocol.identifiers import EventId
from tremula.rooms.state import MEMBER, StateEvent, StateMap, StateUpdate

SIZES = [0, 1, 63, 64, 255, 256]


def event(number: int, *, nid: int = 1, event_type: str = MEMBER) -> StateEvent:
    return StateEvent(
        EventId(f"${nid}"), nid, nid, event_type, f"@u{number}:test", "@a:test", {}
    )


def key(number: int) -> tuple[str, str]:
    return MEMBER, f"@u{number}:test"


def as_dict(state: StateMap) -> dict[tuple[str, str], StateEvent | None]:
    """What it has, asked for in each of its ways, which agree."""
    found = {each: state.get(each) for each in state}
    assert len(found) == len(state)
    assert all(each in state for each in found)
    values = {(e.type, e.state_key): e for e in state.values()}
    assert values == found
    return found


CHANGES = st.lists(
    st.tuples(st.lists(st.integers(0, 400)), st.lists(st.integers(0, 400))),
    max_size=4,
)


@settings(deadline=None)
@given(st.sampled_from(SIZES), CHANGES)
def test_a_state_map_is_like_a_dict_that_is_copied(
    size: int, changes: list[tuple[list[int], list[int]]]
) -> None:
    state = StateMap.of(event(number) for number in range(size))
    model = {key(number): event(number) for number in range(size)}
    for nid, (replaced, removed) in enumerate(changes, start=2):
        before, was = state, dict(model)
        events = tuple(event(number, nid=nid) for number in replaced)
        update = StateUpdate(events, tuple(key(number) for number in removed))
        state = state.updated(update)
        model |= {(each.type, each.state_key): each for each in events}
        for each in update.removed:
            model.pop(each, None)
        assert as_dict(before) == was
        assert as_dict(state) == model


@pytest.mark.parametrize("size", SIZES)
def test_one_event_at_a_time_or_all_at_once_is_the_same(size: int) -> None:
    state = StateMap()
    for number in range(size):
        state = state.with_event(event(number))
    assert as_dict(state) == as_dict(StateMap.of(event(n) for n in range(size)))
    for number in range(size):
        state = state.without(key(number))
    assert not len(state)
    assert not as_dict(state)


def test_the_entries_of_one_type_are_by_their_state_keys() -> None:
    power = event(1, event_type="m.other")
    state = StateMap.of([*map(event, range(100)), power])
    assert state.of_type("m.other") == {"@u1:test": power}
    assert len(state.of_type(MEMBER)) == 100


def test_a_changed_copy_of_a_great_state_takes_ten_kilobytes() -> None:
    state = StateMap.of(map(event, range(50_000)))
    changes = [event(number, nid=2) for number in range(100)]
    tracemalloc.start()
    try:
        copies = [state.with_event(each).without(key(0)) for each in changes]
        size_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_bytes < 2 * 20_000 * len(copies)
