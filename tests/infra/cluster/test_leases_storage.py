"""The lease tables on real PostgreSQL: joining, claiming, burying, leaving."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.infra.db.members import until_waiting
from tremula.infra.cluster.leases_storage import PostgresLeases
from tremula.infra.cluster.members import NO_LOAD, Load
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import (
    DatabaseUnavailable,
    Statements,
    WriterLease,
    WriterLost,
    open_member_database,
)
from tremula.infra.slots import SLOTS, SlotLease


@pytest.fixture
async def leases(source: PostgresUrl) -> AsyncIterator[PostgresLeases]:
    leases = PostgresLeases(source.url)
    yield leases
    await leases.close()


async def expire(source: PostgresUrl, member: str) -> None:
    """Let so much time pass that *member* is late."""
    connection = await asyncpg.connect(source.url)
    late = "UPDATE infra_members SET expires_ms = 0 WHERE member = $1"
    await connection.execute(late, member)
    await connection.close()


async def test_members_get_numbers_of_their_own(leases: PostgresLeases) -> None:
    numbers = [await leases.join(each, "here", "1") for each in "abc"]

    assert [each.writer for each in numbers] == [1, 2, 3]
    # Whoever has just joined is still to be heard of.
    await leases.beat("b", is_reachable=True)
    sight = await leases.beat("a", is_reachable=False)
    assert sight is not None
    assert [(each.id, each.is_reachable) for each in sight.members] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert not any(each.is_late for each in sight.members)


async def test_members_tell_each_other_what_waits_in_them(
    leases: PostgresLeases,
) -> None:
    for member in "ab":
        await leases.join(member, "here", "1")
    await leases.beat("a", is_reachable=True, load=Load(lag_ms=250, commands=3))

    sight = await leases.beat("b", is_reachable=True)

    assert sight is not None
    assert [each.load for each in sight.members] == [Load(250, 3), NO_LOAD]


async def test_many_join_at_once(source: PostgresUrl) -> None:
    async with AsyncExitStack() as stack:
        tables = [PostgresLeases(source.url) for _ in range(8)]
        for table in tables:
            stack.push_async_callback(table.close)

        numbers = await asyncio.gather(
            *(table.join(str(n), "here", "1") for n, table in enumerate(tables))
        )

    assert sorted(each.writer for each in numbers) == list(range(1, 9))


async def test_a_slot_has_one_holder_and_each_a_new_epoch(
    leases: PostgresLeases,
) -> None:
    await leases.join("a", "here", "1")
    await leases.join("b", "here", "1")

    mine = await leases.claim("a", [1, 2, 3])
    theirs = await leases.claim("b", [3, 4, SLOTS - 1])
    await leases.release(mine[:1])
    again = await leases.claim("b", [1])

    assert mine == [SlotLease(1, 1), SlotLease(2, 1), SlotLease(3, 1)]
    assert theirs == [SlotLease(4, 1), SlotLease(SLOTS - 1, 1)]
    assert again == [SlotLease(1, 3)]
    sight = await leases.beat("a", is_reachable=True)
    assert sight is not None
    assert len(sight.holdings) == SLOTS
    assert [each.member for each in sight.holdings[:5]] == [None, "b", "a", "a", "b"]


async def test_a_release_that_comes_too_late_takes_nothing(
    leases: PostgresLeases,
) -> None:
    await leases.join("a", "here", "1")
    [old] = await leases.claim("a", [1])
    [new] = await leases.claim("a", [1])

    await leases.release([old])

    sight = await leases.beat("a", is_reachable=True)
    assert sight is not None
    assert sight.holdings[1].epoch == new.epoch


async def test_only_who_is_late_is_buried(
    leases: PostgresLeases, source: PostgresUrl
) -> None:
    for member in "ab":
        await leases.join(member, "here", "1")
        await leases.claim(member, [ord(member)])
    await expire(source, "a")

    await leases.bury(["a", "b"])

    assert await leases.beat("a", is_reachable=True) is None
    assert await leases.beat("b", is_reachable=True) is not None
    assert await leases.claim("b", [ord("a")]) == [SlotLease(ord("a"), 2)]


async def test_who_comes_late_but_in_time_lives(
    leases: PostgresLeases, source: PostgresUrl
) -> None:
    await leases.join("a", "here", "1")
    await expire(source, "a")
    assert await leases.beat("a", is_reachable=True) is not None

    await leases.bury(["a"])

    assert await leases.beat("a", is_reachable=True) is not None


async def test_who_is_buried_amid_a_batch_stores_nothing(
    leases: PostgresLeases, source: PostgresUrl
) -> None:
    """Its session is ended, so that nobody has to wait for its locks."""
    lease = await leases.join("a", "here", "1")
    await leases.join("b", "here", "1")
    blocker = await asyncpg.connect(source.url)
    await blocker.execute(
        "BEGIN; INSERT INTO infra_server (id, server_name) VALUES (1, 'blocker')"
    )
    db = await open_member_database(source, lease)
    unit = Statements()
    unit.run("INSERT INTO infra_server (id, server_name) VALUES (1, 'a')")
    commit = asyncio.gather(db.commit(unit), return_exceptions=True)
    observer = await asyncpg.connect(source.url)
    await until_waiting(observer, 1)
    await observer.close()
    await expire(source, "a")

    await leases.bury(["a"])

    [outcome] = await commit
    assert isinstance(outcome, DatabaseUnavailable)
    with pytest.raises(WriterLost):
        await open_member_database(source, lease)
    await blocker.execute("ROLLBACK")
    assert await db.all("SELECT server_name FROM infra_server") == []
    await db.close()
    await blocker.close()


async def test_numbers_rest_before_they_are_given_out_again(
    leases: PostgresLeases, source: PostgresUrl
) -> None:
    await leases.join("a", "here", "1")
    await leases.join("b", "here", "1")
    await leases.withdraw("a")

    rested = await leases.join("c", "here", "1")
    connection = await asyncpg.connect(source.url)
    await connection.execute("UPDATE infra_writers SET freed_ms = freed_ms - 100000")
    await connection.close()

    assert rested.writer == 3
    # Each change of hands is an epoch: a's, its end, d's.
    assert await leases.join("d", "here", "1") == WriterLease(1, 3)


async def test_who_leaves_is_seen_to_leave_and_then_is_gone(
    leases: PostgresLeases,
) -> None:
    await leases.join("a", "here", "1")
    await leases.announce_leaving("a")
    leaving = await leases.beat("a", is_reachable=True)
    await leases.withdraw("a")

    assert leaving is not None
    assert leaving.members[0].is_leaving
    assert await leases.beat("a", is_reachable=True) is None
