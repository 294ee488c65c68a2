"""All processes are told the same, in the same order; nothing is lost or repeated."""

import asyncio
import random
from itertools import pairwise

import pytest

from tests.infra.replication.processes import TOPIC, Network, Process, Told

STEPS = 120


def strictly_rising(told: list[Told]) -> bool:
    return all(one[0] < other[0] for one, other in pairwise(told))


def something_happens(network: Network, rng: random.Random, step: int) -> None:
    process = rng.choice(list(network.processes.values()))
    match rng.random():
        case chance if chance < 0.2:
            count = rng.randint(1, 3)
            process.write([f"{process.writer}/{step}/{n}" for n in range(count)])
        case chance if chance < 0.25:
            process.write([f"silent {step}"], announces=False)
        case chance if chance < 0.28:
            process.journal.unit().pos()
        case chance if chance < 0.5:
            process.settle(fails=rng.random() < 0.1)
        case _:
            network.step()


@pytest.fixture(params=range(300))
def network(request: pytest.FixtureRequest) -> Network:
    """A network of its own order of events: the seed is the parameter."""
    return Network(random.Random(request.param))  # noqa: S311 - a seed


async def test_everybody_is_told_everything_that_was_stored(network: Network) -> None:
    processes = [await network.start(writer) for writer in range(1, 4)]
    for step in range(STEPS):
        something_happens(network, network.rng, step)
        if not step % 10:
            await asyncio.sleep(0)
    await network.come_to_rest()
    await asyncio.sleep(0)

    for process in processes:
        assert strictly_rising(process.told)
        assert process.told == sorted(network.stored)
        assert process.journal.position >= max(network.stored)[0]
    answered = [told for each in processes for told in each.answered.items()]
    assert sorted(answered) == sorted(network.stored)


async def test_at_one_position_hooks_come_first_and_the_answer_last() -> None:
    network = Network(random.Random(0))  # noqa: S311 - a seed
    one, other = await network.start(1), await network.start(2)
    order: list[str] = []
    unit = one.journal.unit()
    pos = unit.pos()
    unit.announce(TOPIC, "key", "first", pos=pos)
    unit.announce(TOPIC, "key", "second", pos=pos)
    unit.on_commit(lambda: order.append("hook"))
    one.journal.subscribe(TOPIC, lambda _pos, _key, payload: order.append(str(payload)))
    answer = one.journal.commit(unit)
    answer.add_done_callback(lambda _: order.append("answered"))

    await network.come_to_rest()
    await answer
    await asyncio.sleep(0)

    assert order == ["hook", "first", "second", "answered"]
    assert [payload for _, payload in other.told] == ["first", "second"]


class Client:
    """Asks one process after the other what is new since its token."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.seen: list[Told] = []

    def ask(self, process: Process, network: Network) -> None:
        """Take what is new there; nothing if it has not come as far as the token."""
        now = process.journal.position
        if now < self.since:
            return
        tail = process.journal.tail("things", "key", self.since)
        if tail is None:
            news = [each for each in network.stored if self.since < each[0] <= now]
        else:
            news = [(pos, str(each)) for pos, each in tail if pos <= now]
        self.seen += sorted(news)
        self.since = now


async def test_clients_miss_nothing_whatever_process_they_ask(network: Network) -> None:
    """While processes come, go, crash, and lose messages."""
    rng = network.rng
    for writer in (1, 2):
        await network.start(writer)
    client = Client(since=network.processes[1].journal.position)
    free = [3, 4, 5, 6, 7]
    for step in range(STEPS):
        something_happens(network, rng, step)
        if not step % 10:
            await asyncio.sleep(0)
        match rng.random():
            case chance if chance < 0.02 and free:
                await network.start(free.pop())
            case chance if chance < 0.04 and len(network.processes) > 1:
                network.crash(rng.choice(list(network.processes)))
            case chance if chance < 0.06:
                network.lose()
            case chance if chance < 0.3:
                client.ask(rng.choice(list(network.processes.values())), network)
            case _:
                pass
    await network.come_to_rest()
    for process in network.processes.values():
        client.ask(process, network)

    assert strictly_rising(client.seen)
    start = min([client.since, *(pos for pos, _ in network.stored)])
    assert client.seen == sorted(each for each in network.stored if each[0] >= start)


async def partition_changes(network: Network, free: list[int]) -> None:
    """Something may befall a process: it is cut off, taken for dead, back, or anew."""
    rng, processes = network.rng, network.processes
    writer = rng.choice(list(processes))
    match rng.random():
        case chance if chance < 0.05 and len(network.connected) > 1:
            network.cut(rng.choice(network.connected).writer)
        case chance if chance < 0.15 and writer in network.cut_off & network.members:
            network.bury(writer)
        case chance if chance < 0.16 and len(network.connected) > 1:
            # It has lost the database only.
            network.bury(rng.choice(network.connected).writer)
        case chance if chance < 0.25 and writer in network.cut_off:
            network.mend(writer)
        case chance if chance < 0.35 and writer not in network.members:
            network.end(writer)
        case chance if chance < 0.38 and free:
            await network.start(free.pop())
        case chance if chance < 0.6:
            network.look(rng.choice(network.connected))
        case _:
            pass


async def test_clients_miss_nothing_of_who_is_cut_off(network: Network) -> None:
    """Though its last commits are heard by nobody, some drop it before others, it is
    heard again when they have, and clients may ask it all the time.
    """
    for writer in (1, 2, 3):
        await network.start(writer)
    network.is_lossy = True
    client = Client(since=network.processes[1].journal.position)
    free = [4, 5, 6, 7]
    for step in range(2 * STEPS):
        something_happens(network, network.rng, step)
        if not step % 10:
            await asyncio.sleep(0)
        await partition_changes(network, free)
        if network.rng.random() < 0.3:
            asked = network.rng.choice(list(network.processes.values()))
            client.ask(asked, network)
    for writer in list(network.processes):
        if writer in network.members:
            network.mend(writer)
        else:
            network.end(writer)
    for process in network.connected:
        network.look(process)
    await network.come_to_rest()
    for process in network.connected:
        client.ask(process, network)

    assert strictly_rising(client.seen)
    missed = set(network.stored) - set(client.seen)
    assert not [each for each in missed if each[0] <= client.since]
    assert not missed


async def test_what_is_acknowledged_has_been_heard_by_all(network: Network) -> None:
    """So that whoever asks another process next is shown it."""
    processes = [await network.start(writer) for writer in range(1, 4)]
    for step in range(STEPS):
        something_happens(network, network.rng, step)
        await asyncio.sleep(0)
        acknowledged = max(
            (pos for each in processes for pos in each.answered), default=0
        )
        waiting = [asyncio.ensure_future(each.journal.settled()) for each in processes]
        await asyncio.sleep(0)
        for process, settled in zip(processes, waiting, strict=True):
            assert not settled.done() or process.journal.position >= acknowledged
            settled.cancel()


async def test_who_is_not_counted_on_shows_nothing_new() -> None:
    """It would not know of those who have come since, whatever it still hears."""
    network = Network(random.Random(0))  # noqa: S311 - a seed
    one, _, dropped = [await network.start(writer) for writer in (1, 2, 3)]
    network.bury(3)
    for process in network.connected:
        network.look(process)
    shown = dropped.journal.position
    one.write(["news"])
    await network.come_to_rest()

    assert [payload for _, payload in one.told] == ["news"]
    assert not dropped.told
    assert dropped.journal.position == shown


async def test_units_that_hold_back_what_others_have_stored_are_hurried() -> None:
    network = Network(random.Random(0))  # noqa: S311 - a seed
    one, other = await network.start(1), await network.start(2)
    hurried: list[int] = []
    other.replica.hurry = lambda: hurried.append(len(other.database.waiting))
    one.write(["first"])
    one.settle()
    network.deliver()
    assert not hurried

    other.write(["waits"])
    one.write(["second"])
    one.settle()
    network.deliver()

    assert hurried == [1]
    assert [payload for _, payload in other.told] == ["first"]
