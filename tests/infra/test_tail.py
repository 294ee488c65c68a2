"""The tail knows what it knows, and never claims more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.infra import tail as module
from tremula.infra.tail import TopicTail
from tremula.infra.tails import Tails


def test_entries_of_a_key_come_oldest_first() -> None:
    tail = TopicTail(floor=5)
    for pos, key in [(6, "a"), (7, "b"), (8, "a"), (9, "a")]:
        tail.append(pos, key, f"payload {pos}", 10)

    assert tail.after("a", 6) == [(8, "payload 8"), (9, "payload 9")]
    assert tail.after("a", 9) == []
    assert tail.after("unknown", 5) == []
    assert tail.after("a", 4) is None
    assert tail.keys_after(6) == {"a", "b"}
    assert tail.keys_after(7) == {"a"}
    assert tail.keys_after(4) is None
    assert tail.newest("a", 2, up_to=99) == ["payload 8", "payload 9"]
    assert tail.newest("a", 9, up_to=99) == ["payload 6", "payload 8", "payload 9"]
    assert tail.newest("a", 9, up_to=8) == ["payload 6", "payload 8"]
    assert tail.newest("a", 1, up_to=8) == ["payload 8"]
    assert tail.newest("unknown", 9, up_to=99) == []


def test_who_asks_for_the_same_entries_as_the_last_one_gets_the_same_answer() -> None:
    tail = TopicTail(floor=5)
    tail.append(6, "a", "first", 10)
    assert tail.after("a", 5) is tail.after("a", 5)

    assert tail.after("b", 5) == []
    tail.append(7, "a", "second", 10)
    assert tail.after("a", 5) == [(6, "first"), (7, "second")]
    assert tail.after("a", 6) == [(7, "second")]
    tail.skip("a", 8)
    assert tail.after("a", 6) is None


def test_who_asks_for_the_same_changes_as_the_last_one_gets_the_same_answer() -> None:
    tail = TopicTail(floor=5)
    tail.append(6, "a", None, 10)
    assert tail.keys_after(5) is tail.keys_after(5)

    tail.append(7, "b", None, 10)
    assert tail.keys_after(5) == {"a", "b"}
    tail.skip("c", 8)
    assert tail.keys_after(5) == {"a", "b", "c"}
    assert tail.keys_after(6) == {"b", "c"}


def test_a_key_that_never_changed_answers_the_floor() -> None:
    tail = TopicTail(floor=5)

    assert tail.changed_pos("a") == 5


def test_what_is_told_from_below_the_floor_says_nothing_of_what_came_after() -> None:
    tail = TopicTail(floor=20)
    tail.append(10, "a", "heard of", 10)
    tail.append(30, "a", "newer", 10)
    tail.append(12, "b", "heard of", 10)

    # At 15 there may be something that nobody here has heard of.
    assert tail.changed_pos("b") == 20
    assert tail.after("a", 12) is None
    assert tail.newest("a", 2, up_to=99) == ["newer"]


@given(
    keys=st.lists(st.integers(0, 6), max_size=60),
    size_bytes=st.integers(1, 40),
)
def test_the_bounds_hold_and_nothing_is_denied(
    keys: list[int], size_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ITEMS_MAX", 10)
        patch.setattr(module, "BYTES_MAX", 100)
        patch.setattr(module, "KEYS_MAX", 3)
        tail = TopicTail(floor=0)
        for pos, key in enumerate(keys, 1):
            tail.append(pos, key, None, size_bytes)

    everything = list(enumerate(keys, 1))
    for since in range(len(keys) + 1):
        for key in range(7):
            true = [
                (pos, None) for pos, each in everything if each == key and pos > since
            ]
            assert tail.after(key, since) == (None if since < tail.floor else true)
            assert not true or tail.changed_pos(key) > since
    assert len(keys) - tail.floor <= 10
    assert (len(keys) - tail.floor) * size_bytes <= 100


def test_of_a_key_that_was_skipped_only_what_came_later_is_known() -> None:
    tail = TopicTail(floor=5)
    for pos, key in [(6, "a"), (7, "b"), (8, "a")]:
        tail.append(pos, key, f"payload {pos}", 10)
    tail.skip("a", 20)
    tail.append(21, "a", "payload 21", 10)

    assert tail.after("a", 8) is None
    assert tail.after("a", 20) == [(21, "payload 21")]
    assert tail.newest("a", 9, up_to=99) == ["payload 21"]
    assert tail.after("b", 5) == [(7, "payload 7")]
    assert tail.changed_pos("a") == 21
    assert tail.keys_after(8) == {"a"}


def test_what_was_skipped_goes_with_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ITEMS_MAX", 2)
    monkeypatch.setattr(module, "KEYS_MAX", 1)
    tail = TopicTail(floor=5)
    tail.append(6, "a", "payload 6", 10)
    tail.skip("a", 7)
    for pos in (8, 9, 10):
        tail.append(pos, "a", f"payload {pos}", 10)

    assert tail.after("a", 8) == [(9, "payload 9"), (10, "payload 10")]
    tail.skip("b", 11)
    assert tail.floor == 8
    tail.skip("c", 12)
    assert tail.floor == 11
    assert tail.after("a", 10) is None


def test_a_topic_is_silent_until_it_says_something() -> None:
    tails = Tails(5)
    assert tails.heard(4) is None
    assert tails.heard(5) == set()

    tails.append("b", 7, "key", None, 10)
    assert tails.heard(5) == {"b"}
    assert tails.heard(6) == {"b"}
    assert tails.heard(7) == set()
    tails.skip("a", 8, "key")
    assert tails.heard(7) == {"a"}
    tails.forget(9)
    assert tails.heard(8) is None
    assert tails.heard(9) == set()


@given(
    told=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6)), max_size=30),
    after=st.integers(0, 31),
)
def test_what_is_silent_has_nothing_new(
    told: list[tuple[str, int]], after: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ITEMS_MAX", 10)
        tails = Tails(0)
        for pos, (topic, key) in enumerate(told, 1):
            tails.append(topic, pos, key, None, 10)

    heard = tails.heard(after)
    assert heard is not None
    for topic in "ab":
        changed = tails.changed_keys(topic, after)
        assert (topic not in heard) is (changed == set())
