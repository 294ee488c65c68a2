"""How many units share a commit, on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from tests.conftest import DatabaseSource
from tests.infra.db.things import open_with_things, thing
from tremula.infra.db import Database, gathering
from tremula.infra.db.gathering import Gathering


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits until it ends waits for ever."""
    for name in ("_LEAST_S", "_MOST_S", "_LATE_S"):
        monkeypatch.setattr(gathering, name, 3_600)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def db(
    database_source: DatabaseSource,
    registry: CollectorRegistry,
) -> AsyncIterator[Database]:
    database = await open_with_things(database_source, registry)
    yield database
    await database.close()


def commits(registry: CollectorRegistry) -> int:
    return int(registry.get_sample_value("tremula_db_batch_units_count") or 0)


def begun(db: Database, *nids: int) -> list[asyncio.Task[None]]:
    """Commits under way."""
    return [asyncio.create_task(db.commit(thing(nid, str(nid)))) for nid in nids]


async def test_a_batch_waits_for_as_many_units_as_the_last_one_had(
    db: Database, registry: CollectorRegistry
) -> None:
    await asyncio.gather(*begun(db, 0, 1, 2, 3))
    before = commits(registry)

    async with asyncio.TaskGroup() as group:
        for nid in range(4, 8):
            group.create_task(db.commit(thing(nid, str(nid))))
            await db.all("SELECT name FROM things")

    assert commits(registry) == before + 1


async def test_who_comes_during_a_commit_waits_for_those_who_share_it(
    db: Database, registry: CollectorRegistry
) -> None:
    """Or two halves would take turns for good."""
    first = begun(db, 0, 1)
    # They submit, then their commit begins.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = begun(db, 2, 3)
    await asyncio.gather(*first)
    before = commits(registry)

    await asyncio.gather(*second, *begun(db, 4, 5))

    assert commits(registry) == before + 1


async def test_who_does_not_come_back_is_waited_for_no_longer_than_that(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_MOST_S", 0.001)
    await asyncio.gather(*begun(db, 0, 1, 2, 3))

    await db.commit(thing(4, "4"))

    assert len(await db.all("SELECT name FROM things")) == 5


async def test_who_writes_alone_does_not_wait(db: Database) -> None:
    for nid in range(3):
        await db.commit(thing(nid, str(nid)))

    assert len(await db.all("SELECT name FROM things")) == 3


# Before a unit is made


@pytest.fixture
def shared() -> Gathering:
    """Three have shared the last commit."""
    gathering = Gathering()
    gathering.begun()
    gathering.settled(3, took_s=1)
    return gathering


async def turns_of(gathering: Gathering, count: int) -> list[asyncio.Task[None]]:
    """Those who wait for their turn, or have it."""
    tasks = [asyncio.create_task(gathering.turn()) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def done(tasks: list[asyncio.Task[None]]) -> int:
    return sum(task.done() for task in tasks)


async def test_who_shared_a_commit_have_their_turn_together(shared: Gathering) -> None:
    two = await turns_of(shared, 2)
    assert done(two) == 0

    third = await turns_of(shared, 1)

    assert done([*two, *third]) == 3


async def test_nobody_has_a_turn_during_a_commit(shared: Gathering) -> None:
    await turns_of(shared, 3)
    shared.begun()
    tasks = await turns_of(shared, 3)
    assert done(tasks) == 0

    shared.settled(3, took_s=1)
    more = await turns_of(shared, 3)

    # The next commit is that of those who came during this one, and of these.
    assert done([*tasks, *more]) == 6


async def test_after_a_commit_of_one_alone_it_is_everybodys_turn(
    shared: Gathering,
) -> None:
    alone = Gathering()
    assert done(await turns_of(alone, 1)) == 1
    alone.begun()
    tasks = await turns_of(alone, 2)

    alone.settled(1, took_s=1)
    await asyncio.gather(*tasks)

    assert done(await turns_of(alone, 1)) == 1


async def test_a_commit_waits_for_the_units_of_all_who_have_their_turn(
    shared: Gathering,
) -> None:
    await turns_of(shared, 3)
    shared.came(had_turn=True)
    commit = asyncio.create_task(shared.complete())
    shared.came(had_turn=True)
    await asyncio.sleep(0)
    assert not commit.done()

    shared.came(had_turn=True)

    await commit


async def test_it_waits_no_longer_for_who_makes_no_unit(
    shared: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_LATE_S", 0)
    await turns_of(shared, 3)
    shared.came(had_turn=True)

    await shared.complete()


async def test_who_stops_waiting_for_its_turn_is_not_waited_for(
    shared: Gathering,
) -> None:
    one, *_ = await turns_of(shared, 2)
    one.cancel()
    await turns_of(shared, 1)

    for _ in range(2):
        shared.came(had_turn=True)

    await shared.complete()


async def test_what_holds_others_back_waits_for_nobody(shared: Gathering) -> None:
    shared.came(had_turn=False)
    commit = asyncio.create_task(shared.complete())
    tasks = await turns_of(shared, 1)
    assert not commit.done()

    shared.hurry()
    await commit

    # Its own comes back, too, to share the next one with who has not had its turn.
    shared.begun()
    shared.settled(1, took_s=1)
    assert done(tasks) == 0
    assert done(await turns_of(shared, 2)) + done(tasks) == 3
