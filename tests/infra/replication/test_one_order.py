"""All processes are told the same, in the same order; nothing is lost or repeated."""

import asyncio
import random
from itertools import pairwise

import pytest

from tests.infra.replication.processes import Network, Process, Told

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
