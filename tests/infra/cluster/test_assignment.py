"""Who should hold what: even, the same everywhere, and with little movement."""

from itertools import pairwise

import pytest

from tremula.infra.cluster.assignment import assigned, candidates
from tremula.infra.cluster.members import LEASE_MS, Member
from tremula.infra.slots import SLOTS

NAMES = tuple(f"member{number}" for number in range(8))


def member(name: str, **fields: object) -> Member:
    values: dict[str, object] = {"address": "", "version": "", "writer": 1} | fields
    return Member(id=name, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_slots_are_spread_evenly(count: int) -> None:
    owners = assigned(NAMES[:count], SLOTS)

    held = [owners.count(name) for name in NAMES[:count]]
    assert sum(held) == SLOTS
    assert min(held) > SLOTS / count * 0.75


def test_a_newcomer_takes_its_own_and_nothing_else_moves() -> None:
    for fewer, more in pairwise(NAMES[:count] for count in range(1, 9)):
        newcomer = more[-1]
        for before, after in zip(
            assigned(fewer, SLOTS), assigned(more, SLOTS), strict=True
        ):
            assert after in {before, newcomer}


def test_it_is_the_same_in_every_release() -> None:
    """Members of two releases side by side must not take slots from each other."""
    assert assigned(("a", "b", "c"), 8) == ("a", "a", "a", "a", "c", "c", "b", "c")


def test_without_members_nobody_holds_anything() -> None:
    assert assigned((), 2) == (None, None)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([member("b"), member("a")], ("a", "b")),
        ([member("a", is_leaving=True), member("b")], ("b",)),
        ([member("a", quiet_ms=LEASE_MS), member("b")], ("b",)),
        ([member("a", is_reachable=False), member("b")], ("b",)),
        # Without a bus at all, everybody keeps what it has.
        (
            [member("a", is_reachable=False), member("b", is_reachable=False)],
            ("a", "b"),
        ),
        ([], ()),
    ],
)
def test_who_may_hold_slots(members: list[Member], expected: tuple[str, ...]) -> None:
    assert candidates(members) == expected
