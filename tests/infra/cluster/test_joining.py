"""Members over real PostgreSQL and real NATS: who does what, and what is stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import Struct

from tests.nats_server import NatsServer, running_nats
from tests.postgres_server import running_postgres
from tremula.infra.clock import SystemClock
from tremula.infra.cluster.joining import Machinery, Membership, joined
from tremula.infra.config import BusUrls, Cluster, PostgresUrl
from tremula.infra.db import DatabaseUnavailable, Statements
from tremula.infra.metrics import Metrics
from tremula.infra.slots import SLOTS, CallTypes, slot_of
from tremula.infra.supervisor import Supervisor
from tremula.protocol.errors import Unknown

DEADLINE_S = 30


class Count(Struct, frozen=True):
    """A command: count one more of the key; the answer is how many there are."""

    times: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A process, and what it has of the cluster."""

    membership: Membership
    supervisor: Supervisor

    async def count(self, key: str, command: Count) -> int:
        """The handler: read, then write under the lease."""
        membership = self.membership
        lease = membership.slots.lease(key)
        row = await membership.database.first(
            "SELECT pos FROM federation_followed WHERE id = 1"
        )
        stored = 0 if row is None else int(row[0])
        unit = Statements(lease=lease)
        unit.run(
            "INSERT INTO federation_followed (id, pos) VALUES (1, :pos)"
            " ON CONFLICT (id) DO UPDATE SET pos = :pos",
            pos=stored + command.times,
        )
        await membership.database.commit(unit)
        return stored + command.times

    async def call(self, key: str) -> int:
        """Have it counted by whoever holds the slot."""
        counted: int = await self.membership.slots.call("count", key, Count())
        return counted


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as server:
        yield server


@asynccontextmanager
async def member(source: PostgresUrl, nats: NatsServer) -> AsyncIterator[Member]:
    """One member, which hands over at its end."""
    metrics = Metrics()
    supervisor = Supervisor(metrics)
    machinery = Machinery(supervisor, SystemClock(), metrics)
    cluster = Cluster(bus=BusUrls((nats.url,)))
    async with joined(source, cluster, "example.org", machinery) as membership:
        member = Member(membership, supervisor)
        types = CallTypes(Count, int)
        membership.slots.register("count", member.count, types)
        await membership.slots.open()
        try:
            yield member
        finally:
            await membership.keeper.leave()
            await supervisor.stop()


async def settled(*members: Member) -> None:
    """Wait until the members hold all slots, and each knows who does."""
    keepers = [each.membership.keeper for each in members]
    async with asyncio.timeout(DEADLINE_S):
        while (
            any(len(each.members) != len(members) for each in keepers)
            or sum(len(each.slots) for each in keepers) != SLOTS
            or not all(each.slots for each in keepers)
            or not all(each.holder(slot) for each in keepers for slot in range(SLOTS))
            or not all(each.membership.bus.is_connected for each in members)
        ):
            await keepers[0].look_again(1)


def key_of(member: Member) -> str:
    """A key whose slot *member* holds."""
    held = member.membership.keeper.slots
    return next(key for key in map(str, range(100_000)) if slot_of(key) in held)


async def test_members_do_each_other_s_commands_and_none_twice(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats) as one, member(source, nats) as two:
        await settled(one, two)
        key = key_of(two)

        answers = [await each.call(key) for each in (one, two, one, two)]

        assert answers == [1, 2, 3, 4]
        assert one.membership.writer != two.membership.writer


async def test_while_members_come_and_go_nothing_is_lost_or_doubled(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats) as first, AsyncExitStack() as others:
        await settled(first)
        is_over = False
        answers: list[int] = []

        async def call_on() -> None:
            while not is_over:
                answers.append(await first.call("a room"))

        async with asyncio.TaskGroup() as group:
            group.create_task(call_on())
            for _ in range(3):
                joined_later = await others.enter_async_context(member(source, nats))
                await settled(first, joined_later)
                await others.aclose()
                await settled(first)
            is_over = True

    assert answers == list(range(1, len(answers) + 1))
    assert len(answers) > 100


async def test_after_nats_was_away_calls_travel_again(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats) as one, member(source, nats) as two:
        await settled(one, two)
        key = key_of(two)
        assert await one.call(key) == 1
        lost = asyncio.Event()
        one.membership.bus.on_state(lambda is_up: None if is_up else lost.set())

        nats.stop()
        await lost.wait()
        async with asyncio.TaskGroup() as group:
            travelling = group.create_task(one.call(key))
            assert await two.call(key) == 2
            nats.start()

        assert travelling.result() == 3


async def test_after_postgresql_was_away_everything_goes_on_where_it_was(
    nats: NatsServer,
) -> None:
    """Crashed amid calls: what was answered is stored once, and no slot has moved."""
    with running_postgres() as server:
        source = PostgresUrl(server.url("postgres"))
        async with member(source, nats) as one, member(source, nats) as two:
            await settled(one, two)
            before = set(one.membership.keeper.slots)
            key, answers = key_of(two), [0]
            calling, is_over = asyncio.Event(), False

            async def call_on() -> None:
                while not is_over:
                    with contextlib.suppress(DatabaseUnavailable, Unknown):
                        answers.append(await one.call(key))
                        calling.set()
                    await asyncio.sleep(0)

            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                group.create_task(call_on())
                await calling.wait()
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
                calling.clear()
                await calling.wait()
                is_over = True
            await settled(one, two)

            stored = await two.call(key)
            assert set(one.membership.keeper.slots) == before
    # A commit whose answer was lost counts, though its caller was told nothing.
    assert answers == sorted(set(answers))
    assert stored - answers[-1] == 1
    assert len(answers) <= stored <= len(answers) + 2
