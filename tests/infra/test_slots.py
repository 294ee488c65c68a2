"""Slots in one process."""

import pytest

from tremula.infra.slots import SLOTS, SingleProcessSlots, slot_of


# The check value of CRC-32 is 0xCBF43926.
@pytest.mark.parametrize(
    ("key", "slot"), [("", 0), ("123456789", 0xCBF43926 % 1024), ("é", 318)]
)
def test_a_key_has_the_same_slot_for_ever(key: str, slot: int) -> None:
    assert slot_of(key) == slot


def test_keys_spread_over_all_slots() -> None:
    counts = [0] * SLOTS
    for number in range(100 * SLOTS):
        counts[slot_of(f"!room{number}:example.org")] += 1

    assert min(counts) > 50
    assert max(counts) < 150


async def test_a_call_reaches_the_handler_of_its_kind() -> None:
    slots = SingleProcessSlots()

    async def double(key: str, command: int) -> str:
        return f"{key}{command * 2}"

    slots.register("double", double)

    assert await slots.call("double", "a", 2) == "a4"


def test_one_process_alone_stores_under_no_lease() -> None:
    assert SingleProcessSlots().lease("!room:example.org") is None
