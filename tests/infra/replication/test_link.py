"""Replicas over a bus that loses messages, and is lost itself."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

import pytest

from tests.fakes.bus import FakeBus, FakeNetwork
from tests.fakes.database import FakeDatabase
from tests.fakes.loop import run_jumping
from tests.infra.replication.processes import TOPIC, WRITERS, Told
from tremula.infra.journal import Journal
from tremula.infra.positions import Positions
from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.link import ReplicationLink
from tremula.infra.replication.messages import Hello, Topics, pack
from tremula.infra.replication.replica import Replica
from tremula.infra.replication.units import MESSAGE_BYTES_MAX

SUBJECT = "tremula.test"


@dataclass
class Server:
    """The processes, and the database that they share."""

    network: FakeNetwork
    members: "dict[int, Member]" = field(default_factory=dict)
    stored: list[Told] = field(default_factory=list)

    def writers(self) -> Collection[int]:
        return self.members.keys() - self.unseen

    async def is_there(self, writer: int) -> bool:
        return writer in self.members

    async def last_pos(self, writer: int) -> int:
        return self.gone[writer]

    gone: dict[int, int] = field(default_factory=dict)
    unseen: set[int] = field(default_factory=set)
    """Members that are too new to be seen."""

    async def start(self, writer: int) -> "Member":
        start = max((m.positions.last for m in self.members.values()), default=0)
        member = Member(self, writer, self.network.member(), start)
        self.members[writer] = member
        loop = asyncio.get_running_loop()
        member.tasks = [loop.create_task(member.link.carry())]
        await member.link.join(member.replica, writer)
        member.tasks.append(loop.create_task(member.link.watch(member.replica)))
        return member

    async def kill(self, writer: int) -> None:
        member = self.members.pop(writer)
        member.bus.cut()
        self.gone[writer] = member.positions.last
        for task in member.tasks:
            task.cancel()
        await asyncio.gather(*member.tasks, return_exceptions=True)


class Member:
    """One process, as `Process`, with a bus."""

    def __init__(self, server: Server, writer: int, bus: FakeBus, start: int) -> None:
        self.server = server
        self.writer = writer
        self.bus = bus
        self.database = FakeDatabase()
        self.tasks: list[asyncio.Task[None]] = []
        topics = Topics()
        topics.register(TOPIC, str)
        self.link = ReplicationLink(bus, SUBJECT, server)
        loop = asyncio.get_running_loop()
        self.agenda = Agenda(loop.time)
        self.replica = Replica(
            writer=writer,
            incarnation=writer,
            topics=topics,
            send=self.link.send,
            soon=loop.call_soon,
            agenda=self.agenda,
            is_counted_on=lambda: True,
        )
        self.positions = Positions(
            self.database, start=start, writer=writer, writers=WRITERS
        )
        self.journal = Journal(self.database, self.positions, self.replica)

    async def write(self, *payloads: str) -> None:
        unit = self.journal.unit()
        told = [(unit.pos(), payload) for payload in payloads]
        for pos, payload in told:
            unit.announce(TOPIC, "key", payload, pos=pos)
        future = self.journal.commit(unit)
        self.server.stored += told
        self.database.settle()
        await future

    def read(self, since: int) -> list[Told]:
        """What is new to whoever has everything up to *since*, from memory or not."""
        now = self.journal.position
        tail = self.journal.tail(TOPIC, "key", since)
        if tail is None:
            return sorted(e for e in self.server.stored if since < e[0] <= now)
        return [(pos, str(each)) for pos, each in tail if pos <= now]


def simulated(
    scenario: Callable[[Server], Awaitable[None]], *, loss: float = 0, seed: int = 0
) -> None:
    async def run() -> None:
        server = Server(FakeNetwork(seed=seed, delay_s=0.01, loss=loss))
        await scenario(server)
        for writer in list(server.members):
            await server.kill(writer)

    run_jumping(run())


def test_a_write_is_read_everywhere_once_it_is_acknowledged() -> None:
    async def scenario(server: Server) -> None:
        members = [await server.start(writer) for writer in (1, 2, 3)]
        since = members[0].journal.position

        await members[0].write("a", "b")

        for member in members:
            await member.journal.settled()
            assert [payload for _, payload in member.read(since)] == ["a", "b"]

    simulated(scenario)


@pytest.mark.parametrize("seed", range(10))
def test_lost_messages_delay_but_hide_nothing(seed: int) -> None:
    async def scenario(server: Server) -> None:
        members = [await server.start(writer) for writer in (1, 2, 3)]
        since = members[0].journal.position
        writes = [m.write(f"{m.writer}/{n}") for m in members for n in range(10)]

        async with asyncio.timeout(60):
            await asyncio.gather(*writes)
            for member in members:
                await member.journal.settled()
                while member.journal.position < max(server.stored)[0]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

        for member in members:
            assert member.read(since) == sorted(server.stored)

    simulated(scenario, loss=0.1, seed=seed)


def test_a_killed_process_holds_the_others_up_only_until_it_is_counted_out() -> None:
    async def scenario(server: Server) -> None:
        first, second = [await server.start(writer) for writer in (1, 2)]
        since = first.journal.position
        await second.write("of the second")
        await first.link.look(first.replica)

        await server.kill(2)
        async with asyncio.timeout(3):
            await first.write("of the first")

        assert [payload for _, payload in first.read(since)] == [
            "of the second",
            "of the first",
        ]

    simulated(scenario)


def test_who_was_never_seen_in_the_database_is_not_gone() -> None:
    async def scenario(server: Server) -> None:
        first = await server.start(1)
        since = first.journal.position
        server.unseen = {2}
        second = await server.start(2)
        await first.link.look(first.replica)
        server.unseen.clear()

        async with asyncio.timeout(1):
            await second.write("of the second")

        await first.journal.settled()
        assert [payload for _, payload in first.read(since)] == ["of the second"]

    simulated(scenario)


def test_who_was_gone_before_it_was_counted_in_holds_nobody_up() -> None:
    async def scenario(server: Server) -> None:
        first, second = [await server.start(writer) for writer in (1, 2)]
        await server.kill(2)
        await first.link.look(first.replica)
        # What it said goes round for a while.
        first.replica.receive(pack(Hello(2, incarnation=7)))
        assert set(first.replica.peers) == {2}

        await first.link.look(first.replica)
        async with asyncio.timeout(1):
            await first.write("of the first")

        assert second.database.waiting == []

    simulated(scenario)


def test_who_leaves_with_a_word_holds_nobody_up() -> None:
    async def scenario(server: Server) -> None:
        first, second = [await server.start(writer) for writer in (1, 2)]
        since = first.journal.position
        boot_position = first.journal.boot_position
        await second.write("of the second")
        await first.journal.settled()

        await second.link.leave(second.replica)
        second.tasks.pop().cancel()
        async with asyncio.timeout(1):
            await first.write("of the first")

        assert 2 in server.writers(), "the database does not know yet"
        assert [payload for _, payload in first.read(since)] == [
            "of the second",
            "of the first",
        ]
        assert first.journal.boot_position == boot_position, "it remembers all"

    simulated(scenario)


def test_without_the_bus_nothing_is_acknowledged_and_then_everything() -> None:
    async def scenario(server: Server) -> None:
        first, second = [await server.start(writer) for writer in (1, 2)]
        since = second.journal.position
        first.bus.cut()

        writing = asyncio.ensure_future(first.write("while cut off"))
        await asyncio.wait([writing], timeout=5)
        assert not writing.done()
        assert second.read(since) == []
        first.bus.heal()

        async with asyncio.timeout(10):
            await writing
            await second.journal.settled()
        assert [payload for _, payload in second.read(since)] == ["while cut off"]

    simulated(scenario)


def test_the_lag_is_how_long_the_oldest_has_waited() -> None:
    async def scenario(server: Server) -> None:
        first, second = [await server.start(writer) for writer in (1, 2)]
        await first.write("told")
        assert first.agenda.lag_s() == second.agenda.lag_s() == 0
        first.bus.cut()

        writing = asyncio.ensure_future(first.write("older"))
        await asyncio.wait([writing], timeout=3)
        writing_more = asyncio.ensure_future(first.write("newer"))
        await asyncio.wait([writing_more], timeout=2)
        lag_s = first.agenda.lag_s()
        first.bus.heal()
        async with asyncio.timeout(10):
            await asyncio.gather(writing, writing_more)

        assert 4.9 < lag_s < 5.1
        assert first.agenda.lag_s() == 0

    simulated(scenario)


def test_what_is_too_much_for_a_message_is_told_in_several() -> None:
    async def scenario(server: Server) -> None:
        first, second = [await server.start(writer) for writer in (1, 2)]
        server.network.payload_bytes_max = 2 * MESSAGE_BYTES_MAX
        since = second.journal.position
        payloads = [f"{number}" + "x" * 100_000 for number in range(10)]

        await first.write(*payloads)

        await second.journal.settled()
        assert [payload for _, payload in second.read(since)] == payloads

    simulated(scenario)
