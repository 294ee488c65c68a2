"""Members over real PostgreSQL and real NATS: who does what, and what is stored."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.infra.cluster.counting import Member, member
from tests.nats_server import NatsServer, running_nats
from tests.postgres_server import running_postgres
from tremula.infra.clock import SystemClock
from tremula.infra.cluster.process import one_of_several
from tremula.infra.config import BusUrls, Cluster, PostgresUrl
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.metrics import Metrics
from tremula.infra.process import ProcessEnded
from tremula.infra.slots import SLOTS, slot_of
from tremula.protocol.errors import Unknown
from tremula.topics import all_topics

DEADLINE_S = 30


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as server:
        yield server


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


async def test_members_do_each_other_s_commands_and_none_twice(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats.url) as one, member(source, nats.url) as two:
        await settled(one, two)
        key = two.key()

        answers = [await each.call(key) for each in (one, two, one, two)]

        assert answers == [1, 2, 3, 4]
        writers = {one.membership.writer, two.membership.writer}
        assert len(writers) == 2
        assert one.membership.writers() == two.membership.writers() == writers


async def test_while_members_come_and_go_nothing_is_lost_or_doubled(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats.url) as first, AsyncExitStack() as others:
        await settled(first)
        is_over = False
        answers: list[int] = []

        async def call_on() -> None:
            while not is_over:
                answers.append(await first.call("a room"))

        async with asyncio.TaskGroup() as group:
            group.create_task(call_on())
            for _ in range(3):
                joined_later = await others.enter_async_context(
                    member(source, nats.url)
                )
                await settled(first, joined_later)
                await others.aclose()
                await settled(first)
            is_over = True

    assert answers == list(range(1, len(answers) + 1))
    assert answers


async def test_after_nats_was_away_calls_travel_again(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats.url) as one, member(source, nats.url) as two:
        await settled(one, two)
        key = two.key()
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
        async with member(source, nats.url) as one, member(source, nats.url) as two:
            await settled(one, two)
            before = set(one.membership.keeper.slots)
            key, answers = two.key(), [0]
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


@asynccontextmanager
async def process(
    source: PostgresUrl, nats: NatsServer
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A member as a process of its own, killed at the end."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.infra.cluster.member_process"),
        *(source.url, nats.url),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def until_two(member: Member) -> str:
    """Wait for the other process; a key whose slot it holds."""
    keeper = member.membership.keeper
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for key in map(str, range(100)):
                holder = keeper.holder(slot_of(key))
                if holder is not None and holder.id != keeper.member:
                    return key
            await keeper.look_again(1)


async def test_the_work_of_who_is_killed_goes_on_elsewhere(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats.url) as here, process(source, nats) as child:
        key = await until_two(here)
        assert await here.call(key) == 1
        child.kill()

        async with asyncio.timeout(DEADLINE_S):
            assert await here.call(key) == 2
            await settled(here)


async def test_who_stops_and_goes_on_learns_that_it_is_none_any_more(
    source: PostgresUrl, nats: NatsServer
) -> None:
    async with member(source, nats.url) as here, process(source, nats) as child:
        key = await until_two(here)
        assert await here.call(key) == 1
        child.send_signal(signal.SIGSTOP)

        async with asyncio.timeout(DEADLINE_S):
            assert await here.call(key) == 2
            await settled(here)
            child.send_signal(signal.SIGCONT)
            output, _ = await child.communicate()

        assert output.splitlines()[-1] == b"ended 0"
        assert await here.call(key) == 3


async def test_who_is_taken_for_dead_before_it_has_begun_has_to_begin_anew(
    source: PostgresUrl, nats: NatsServer
) -> None:
    """On a busy machine its services may take longer to build than its lease lasts."""
    async with one_of_several(
        source,
        Cluster(bus=BusUrls((nats.url,))),
        "example.org",
        topics=all_topics(),
        clock=SystemClock(),
        metrics=Metrics(),
    ) as process:
        other = await asyncpg.connect(source.url)
        await other.execute("DELETE FROM infra_members")
        await other.close()
        async with asyncio.timeout(DEADLINE_S):
            await process.ended.wait()

            with pytest.raises(ProcessEnded):
                await process.begin()
