"""What all processes note is done by the one that holds its key."""

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.slots import HeldSlots, SharedSlots
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.duties import Duties
from tremula.infra.slots import SingleProcessSlots

KEPT_S = 30


class Doing:
    """One process, and what it has done."""

    def __init__(self, slots: HeldSlots, clock: FakeClock) -> None:
        self.slots = slots
        self.done: list[str] = []
        self.duties: Duties[str] = Duties(slots, clock, self._do)

    async def _do(self, duty: str) -> None:
        self.done.append(duty)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slots() -> SharedSlots:
    return SharedSlots()


@pytest.fixture
def processes(slots: SharedSlots, clock: FakeClock) -> tuple[Doing, Doing]:
    """The first holds everything."""
    one, other = (Doing(slots.process(), clock) for _ in range(2))
    slots.give(one.slots)
    return one, other


async def note(processes: tuple[Doing, ...], key: str, duty: str) -> None:
    for each in processes:
        each.duties.note(key, duty, duty)


async def do(processes: tuple[Doing, ...]) -> list[list[str]]:
    """What each has done now."""
    for each in processes:
        await each.duties.do_noted()
    done = [each.done for each in processes]
    for each in processes:
        each.done = []
    return done


async def test_the_holder_does_it(processes: tuple[Doing, Doing]) -> None:
    await note(processes, "!room", "leave")

    assert await do(processes) == [["leave"], []]
    assert await do(processes) == [[], []]


async def test_a_process_alone_does_it(clock: FakeClock) -> None:
    done: list[str] = []

    async def do_it(duty: str) -> None:
        done.append(duty)

    duties = Duties(SingleProcessSlots(), clock, do_it)
    duties.note("!room", "name", "older")
    duties.note("!room", "name", "newer")
    await duties.do_noted()

    assert done == ["newer"]


async def test_who_takes_over_does_what_a_crash_has_left(
    slots: SharedSlots, processes: tuple[Doing, Doing], clock: FakeClock
) -> None:
    one, other = processes
    await note(processes, "!room", "before")
    slots.crash(one.slots)
    await note((other,), "!room", "meanwhile")
    clock.advance_ms(KEPT_S * 1000)

    slots.give(other.slots)

    assert await do((other,)) == [["before", "meanwhile"]]


async def test_who_takes_over_leaves_alone_what_was_done_long_ago(
    slots: SharedSlots, processes: tuple[Doing, Doing], clock: FakeClock
) -> None:
    _, other = processes
    await note(processes, "!room", "long ago")
    clock.advance_ms(KEPT_S * 1000 + 1)

    slots.give(other.slots)

    assert await do((other,)) == [[]]


async def test_who_has_given_it_away_does_it_no_more(
    slots: SharedSlots, processes: tuple[Doing, Doing]
) -> None:
    _, other = processes
    await note(processes, "!room", "leave")
    await note(processes, "!stays", "leave, too")

    slots.give(other.slots, "!room")

    assert await do(processes) == [["leave, too"], ["leave"]]


async def test_what_the_database_was_away_for_is_done_later(
    slots: SharedSlots, clock: FakeClock
) -> None:
    outages = [DatabaseUnavailable("it is being restarted")]
    done: list[str] = []

    async def do(duty: str) -> None:
        if outages:
            raise outages.pop()
        done.append(duty)

    holder = slots.process()
    slots.give(holder)
    duties: Duties[str] = Duties(holder, clock, do)
    for duty in ("first", "second"):
        duties.note("!room", duty, duty)

    with pytest.raises(DatabaseUnavailable):
        await duties.do_noted()
    await duties.do_noted()

    assert done == ["first", "second"]
