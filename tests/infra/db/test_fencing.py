"""A process that others took for dead stores nothing: on real PostgreSQL."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.conftest import new_database
from tests.infra.db.members import (
    Leases,
    member,
    under,
    until_waiting,
)
from tests.infra.db.things import names, open_with_things, thing
from tests.postgres_server import PostgresServer
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import (
    Conflict,
    DatabaseInUse,
    DatabaseUnavailable,
    ServerNameChanged,
    SlotLost,
    Statements,
    WriterLost,
    check_server_name,
    migrate_together,
)
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.postgres_session import Session, start_session
from tremula.infra.db.postgres_writer import PostgresWriter

DEADLINE_S = 30


async def test_members_write_side_by_side(source: PostgresUrl, leases: Leases) -> None:
    slot = await leases.slot(7)
    async with (
        member(source, await leases.number(2)) as one,
        member(source, await leases.number(3)) as two,
    ):
        await asyncio.gather(
            *(one.commit(under(slot, nid)) for nid in range(20)),
            *(two.commit(thing(nid, f"two {nid}")) for nid in range(100, 120)),
        )

        assert len(await names(one)) == 40


async def test_a_unit_of_a_slot_that_was_lost_fails_alone(
    source: PostgresUrl, leases: Leases
) -> None:
    """All in one batch; also one whose own fault it is fails for that."""
    lost, kept = await leases.slot(1), await leases.slot(2)
    taken_over = await leases.slot(1)
    async with member(source, await leases.number(2)) as db:
        outcomes = await asyncio.gather(
            db.commit(under(lost, 1)),
            db.commit(under(kept, 2)),
            db.commit(thing(3, "3")),
            db.commit(thing(4, "3")),
            db.commit(under(taken_over, 5)),
            return_exceptions=True,
        )

        assert [type(each) for each in outcomes] == [
            SlotLost,
            type(None),
            type(None),
            Conflict,
            type(None),
        ]
        assert await names(db) == ["2", "3", "5"]


async def test_what_follows_a_unit_of_a_lost_slot_fails_with_it(
    source: PostgresUrl, leases: Leases
) -> None:
    lost = await leases.slot(1)
    await leases.slot(1)

    class Following(Statements):
        """One that builds upon *first*."""

        @property
        def predecessor(self) -> Statements:  # type: ignore[override]
            return first

    first = under(lost, 1)
    second = Following(thing(2, "2").statements)
    async with member(source, await leases.number(2)) as db:
        outcomes = await asyncio.gather(
            db.commit(first), db.commit(second), return_exceptions=True
        )

        assert [type(each) for each in outcomes] == [SlotLost, DatabaseUnavailable]
        assert await names(db) == []


async def test_whose_number_was_given_away_writes_nothing_any_more(
    source: PostgresUrl, leases: Leases
) -> None:
    async with member(source, await leases.number(2)) as db:
        await db.commit(thing(1, "1"))
        await leases.number(2)

        for nid in (2, 3):
            with pytest.raises(WriterLost):
                await db.commit(thing(nid, str(nid)))
        assert await names(db) == ["1"]


async def test_whose_number_was_given_away_writes_nothing_for_its_slots_either(
    source: PostgresUrl, leases: Leases
) -> None:
    slot = await leases.slot(7)
    async with member(source, await leases.number(2)) as db:
        await db.commit(under(slot, 1))
        await leases.number(2)

        with pytest.raises(WriterLost):
            await db.commit(under(slot, 2))
        assert await names(db) == ["1"]


async def test_fencing_takes_no_round_trip_of_its_own(
    source: PostgresUrl, leases: Leases
) -> None:
    slots = [await leases.slot(number) for number in (7, 8)]
    texts: list[str] = []
    number = await leases.number(2)
    session = await start_session(source.url, number)
    assert isinstance(session.connection, asyncpg.Connection)
    session.connection.add_query_logger(lambda query: texts.append(query.query))

    async def connect() -> Session:
        return await start_session(source.url, number)

    writer = PostgresWriter(session, connect, WriterMetrics.registered(None), number)
    settled: asyncio.Future[Exception | None] = asyncio.Future()
    writer.submit(under(slots[0], 1), lambda _: None)
    writer.submit(under(slots[1], 2), settled.set_result)

    assert await settled is None
    assert [text.split()[0] for text in texts] == ["BEGIN;", "INSERT", "COMMIT"]
    await writer.close()


async def test_a_take_over_waits_for_the_commit_that_is_under_way(
    source: PostgresUrl, leases: Leases
) -> None:
    """The batch waits for a row of the test's; the take-over for the batch."""
    slot = await leases.slot(1)
    blocker = await asyncpg.connect(source.url)
    observer = await asyncpg.connect(source.url)
    async with member(source, await leases.number(2)) as db:
        await blocker.execute("BEGIN; INSERT INTO things VALUES (1, 'blocked')")
        async with asyncio.TaskGroup() as group:
            commit = group.create_task(db.commit(under(slot, 1)))
            await until_waiting(observer, 1)
            take_over = group.create_task(leases.slot(1))
            await until_waiting(observer, 2)
            assert not commit.done()
            assert not take_over.done()
            await blocker.execute("ROLLBACK")

        assert take_over.result().epoch == slot.epoch + 1
        assert await names(db) == ["1"]
    await blocker.close()
    await observer.close()


async def test_one_process_alone_and_members_keep_each_other_out(
    source: PostgresUrl, leases: Leases
) -> None:
    number = await leases.number(2)
    async with member(source, number):
        with pytest.raises(DatabaseInUse):
            await open_with_things(source)
    alone = await open_with_things(source)
    with pytest.raises(DatabaseInUse):
        await migrate_together(source)
    await alone.close()


async def test_members_migrate_one_after_the_other(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    async with new_database(postgres_server, tmp_path, template="template0") as source:
        assert isinstance(source, PostgresUrl)

        await asyncio.gather(*(migrate_together(source) for _ in range(4)))

        async with member(source, await Leases(source).number(5)) as db:
            assert await db.all("SELECT member FROM infra_members") == []


async def test_members_that_begin_at_once_agree_on_the_server_name(
    source: PostgresUrl, leases: Leases
) -> None:
    async with (
        member(source, await leases.number(2)) as one,
        member(source, await leases.number(3)) as two,
    ):
        await asyncio.gather(
            *(check_server_name(each, "example.org") for each in (one, two))
        )

        with pytest.raises(ServerNameChanged):
            await check_server_name(two, "example.com")


async def test_who_was_stopped_and_goes_on_after_the_take_over_writes_nothing(
    source: PostgresUrl, leases: Leases
) -> None:
    """As after SIGSTOP, a suspended machine, a long pause: amid its batches."""
    slot, number = await leases.slot(1), await leases.number(2)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.infra.db.member_process", source.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    numbers = f"{number.writer} {number.epoch} {slot.slot} {slot.epoch}\n"
    child.stdin.write(numbers.encode())
    async with asyncio.timeout(DEADLINE_S):
        acknowledged = [await child.stdout.readline()]
        child.send_signal(signal.SIGSTOP)
        heir = await leases.slot(1)
        async with member(source, await leases.number(3)) as db:
            await db.commit(under(heir, 1_000_000))
            before = await names(db)
            child.send_signal(signal.SIGCONT)
            rest, _ = await child.communicate()
            after = await names(db)

    acknowledged += rest.splitlines()
    assert acknowledged.pop() == b"lost"
    assert before == after
    # Between its own lines may be what it logs.
    stored = {each.strip().decode() for each in acknowledged if each.strip().isdigit()}
    assert stored <= set(after)


async def test_who_waits_for_each_other_does_not_fail(
    source: PostgresUrl, leases: Leases
) -> None:
    """The rows of two batches in opposite order: one of them is done again."""
    other = await asyncpg.connect(
        source.url, server_settings={"deadlock_timeout": "60s"}
    )
    observer = await asyncpg.connect(source.url)
    rename = "UPDATE things SET name = name || :by WHERE thing_nid = :nid"
    async with member(source, await leases.number(2)) as db:
        await db.commit(thing(1, "a"))
        await db.commit(thing(2, "b"))
        await other.execute("BEGIN; UPDATE things SET name = 'B' WHERE thing_nid = 2")
        unit = Statements()
        unit.run(rename, by="!", nid=1)
        unit.run(rename, by="!", nid=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(db.commit(unit))
            await until_waiting(observer, 1)
            await other.execute("UPDATE things SET name = 'A' WHERE thing_nid = 1")
            await other.execute("COMMIT")

        assert await names(db) == ["A!", "B!"]
    await other.close()
    await observer.close()
