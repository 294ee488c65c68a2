"""Queues in several processes: each destination is one process's."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.fakes.slots import SharedSlots
from tests.infra.federation.outbound import OTHERS, THEM, Outbound, numbers
from tremula.infra.db import Database
from tremula.infra.federation.destination import Edu, Entry
from tremula.infra.federation.heard import HeardServers
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import ServerName

SERVERS = (THEM, OTHERS)


class Processes:
    """Two processes; the first holds everything until it is taken from it."""

    def __init__(self, database: Database) -> None:
        self.slots = SharedSlots()
        self.one, self.other = (
            Outbound(database, slots=self.slots.process()) for _ in range(2)
        )
        self.slots.give(self.one.held)

    async def add(self, *positions: int, to: Sequence[ServerName] = SERVERS) -> None:
        """Events of a room, of which both are told."""
        await self.one.store(*positions)
        self.tell(*positions, to=to)

    def tell(self, *positions: int, to: Sequence[ServerName] = SERVERS) -> None:
        for outbound in (self.one, self.other):
            outbound.position = positions[-1]
            for pos in positions:
                outbound.queues.send_event(Entry(pos, pos), to)

    async def send(self) -> tuple[list[list[int]], list[list[int]]]:
        """The events of the transactions that each of them sends now."""
        sent = []
        for outbound in (self.one, self.other):
            await outbound.queues.send_due()
            sent.append([numbers(each) for each in outbound.net.sent])
            outbound.net.sent.clear()
        one, other = sent
        return one, other

    async def take_over(self, *names: ServerName) -> None:
        """The second takes over from the first, if that is still there."""
        self.slots.give(self.other.held, *names)
        await self.other.queues.take_up()


@pytest.fixture
async def processes(database: Database) -> Processes:
    processes = Processes(database)
    await processes.one.join(*SERVERS)
    await processes.one.queues.take_up()
    return processes


async def test_each_sends_to_its_own(processes: Processes) -> None:
    await processes.take_over(OTHERS)

    await processes.add(1)

    assert await processes.send() == ([[1]], [[1]])
    assert processes.one.net.down == set()


async def test_what_was_sent_before_is_not_sent_again(processes: Processes) -> None:
    await processes.add(1)
    assert await processes.send() == ([[1], [1]], [])

    await processes.take_over(*SERVERS)

    assert await processes.send() == ([], [])
    await processes.add(2)
    assert await processes.send() == ([], [[2], [2]])


async def test_what_was_not_sent_goes_on(processes: Processes) -> None:
    """Also if nobody has been at it: it was stored, told, and then there was nobody."""
    await processes.add(1, to=[THEM])
    processes.slots.crash(processes.one.held)
    await processes.add(2, to=[THEM])

    await processes.take_over(THEM)
    await processes.add(3, to=[THEM])

    assert await processes.send() == ([], [[1, 2, 3]])


async def test_what_the_last_holder_has_sent_may_be_told_later(
    processes: Processes,
) -> None:
    """It was told before, and has handed over before this process was told."""
    one, other = processes.one, processes.other
    await one.store(1)
    one.queues.send_event(Entry(1, 1), [THEM])
    await one.queues.send_due()
    await processes.take_over(THEM)

    other.position = 1
    other.queues.send_event(Entry(1, 1), [THEM])

    await other.queues.send_due()
    assert not other.net.sent


async def test_what_comes_while_the_rest_is_read_is_sent_once(
    processes: Processes,
) -> None:
    await processes.add(1, to=[THEM])
    processes.slots.crash(processes.one.held)
    processes.slots.give(processes.other.held, THEM)
    await processes.add(2, to=[THEM])
    reading = asyncio.ensure_future(processes.other.queues.take_up())
    await processes.add(3, to=[THEM])
    await reading

    assert await processes.send() == ([], [[1, 2, 3]])
    assert await processes.send() == ([], [])


async def test_a_transaction_under_way_is_repeated_under_its_id(
    processes: Processes,
) -> None:
    """So that the other server takes it in once, whoever repeats it."""
    await processes.add(1, to=[THEM])
    processes.one.net.answered_max = 0
    sending = asyncio.ensure_future(processes.one.queues.send_due())
    await processes.one.net.unanswered.wait()
    [first] = processes.one.net.sent

    await processes.take_over(THEM)
    await processes.other.queues.send_due()

    [again] = processes.other.net.sent
    assert (again.uri, numbers(again)) == (first.uri, [1])
    sending.cancel()
    await asyncio.wait([sending])


async def test_nothing_above_the_position_is_sent_from_the_outbox(
    processes: Processes,
) -> None:
    """Something below it may still come, from another process."""
    await processes.one.store(3)
    processes.one.position = processes.other.position = 1
    await processes.take_over(THEM)
    assert await processes.send() == ([], [])

    await processes.one.store(2)
    processes.tell(2, 3, to=[THEM])

    assert await processes.send() == ([], [[2, 3]])


async def test_an_edu_is_sent_by_one(processes: Processes) -> None:
    await processes.take_over(OTHERS)
    for outbound in (processes.one, processes.other):
        edu = Edu("m.x", {"e": 1}, outbound.clock.now_ms() + 1000)
        outbound.queues.send_edu(SERVERS, "key", edu)

    await processes.send()

    assert processes.one.metric("edus_sent_total") == 1
    assert processes.other.metric("edus_sent_total") == 1


async def test_durable_edus_go_with_their_destination(processes: Processes) -> None:
    journal = await processes.one.journal()
    await processes.one.add_durable(journal, 1)
    await processes.take_over(THEM)

    await processes.send()

    assert processes.one.metric("edus_sent_total") == 0
    assert processes.other.metric("edus_sent_total") == 1


async def test_a_server_that_is_back_is_heard_by_who_sends_to_it(
    processes: Processes, database: Database
) -> None:
    journal = await Journal.open(database)
    held, clock = processes.other.held, processes.other.clock
    heard = HeardServers(journal, held, clock, processes.other.queues)
    HeardServers(journal, processes.one.held, clock, processes.one.queues)
    one = processes.one
    one.net.down = {THEM}
    await processes.add(1, to=[THEM])
    for _ in range(10):
        await one.queues.send_due()
        one.clock.advance_ms(4_000_000)
    one.net.down, one.net.sent = set(), []
    await one.queues.send_due()
    assert one.sent_to(THEM) == [[1]]
    one.net.down = {THEM}
    await processes.add(2, to=[THEM])
    for _ in range(10):
        await one.queues.send_due()
        one.clock.advance_ms(60_000)
    one.net.down, one.net.sent = set(), []

    heard.heard_from(THEM)
    heard.heard_from(THEM)

    await one.queues.send_due()
    assert one.sent_to(THEM) == [[2]]
    assert journal.newest("heard_servers", THEM, 9, up_to=99) == [None]


async def test_what_was_announced_unheard_is_found(processes: Processes) -> None:
    """And what comes while it is looked for is sent as well, once."""
    one = processes.one
    one.net.slow[THEM] = asyncio.Event()
    await processes.add(1, to=[THEM])
    sending = asyncio.ensure_future(one.queues.send_due())
    await one.net.reached.wait()
    await one.store(2)

    one.queues.read_again()
    reading = asyncio.ensure_future(one.queues.take_up())
    await processes.add(3, to=[THEM])
    await reading
    one.net.slow[THEM].set()
    await sending
    await one.queues.send_due()

    assert one.sent_to(THEM) == [[1], [2, 3]]
