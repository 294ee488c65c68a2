"""The byte-bounded cache."""

from hypothesis import given
from hypothesis import strategies as st

from tremula.infra.cache import ByteLRU


def test_the_value_used_longest_ago_goes_first() -> None:
    cache = ByteLRU[str, int](80)
    for number, key in enumerate("abcdefgh"):
        cache.put(key, number, 10)
    cache.get("a")

    cache.put("i", 8, 10)

    assert "a" in cache
    assert "b" not in cache
    assert (len(cache), cache.size_bytes) == (8, 80)


def test_hits_and_misses_are_counted() -> None:
    cache = ByteLRU[str, int](80)
    cache.put("a", 1, 1)

    assert (cache.get("a"), cache.get("b")) == (1, None)
    assert (cache.hits, cache.misses) == (1, 1)


def test_what_is_picked_is_used_and_counted_like_what_is_asked_for() -> None:
    cache = ByteLRU[str, int](80)
    for number, key in enumerate("abcdefgh"):
        cache.put(key, number, 10)

    assert cache.pick("xbay") == ({"b": 1, "a": 0}, ["x", "y"])

    assert (cache.hits, cache.misses) == (2, 2)
    cache.put("i", 8, 10)
    assert "a" in cache
    assert "b" in cache
    assert "c" not in cache


def test_a_value_that_is_too_heavy_replaces_the_old_one_by_nothing() -> None:
    cache = ByteLRU[str, int](80)
    cache.put("a", 1, 5)

    cache.put("a", 2, 11)

    assert cache.get("a") is None
    assert cache.size_bytes == 0


def test_clearing_forgets_everything() -> None:
    cache = ByteLRU[str, int](80)
    cache.put("a", 1, 5)
    cache.clear()

    assert (len(cache), cache.size_bytes) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "get", "discard"]),
            st.integers(0, 9),
            st.integers(0, 20),
        )
    )
)
def test_the_sum_is_right_and_within_the_bound(
    steps: list[tuple[str, int, int]],
) -> None:
    cache = ByteLRU[int, int](100)
    weights: dict[int, int] = {}
    for step, key, size_bytes in steps:
        if step == "put":
            cache.put(key, key, size_bytes)
            weights[key] = size_bytes
        elif step == "get":
            assert cache.get(key) in {key, None}
        else:
            cache.discard(key)
        assert cache.size_bytes == sum(
            weights[each] for each in range(10) if each in cache
        )
        assert cache.size_bytes <= 100
