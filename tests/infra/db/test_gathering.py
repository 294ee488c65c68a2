"""How many units share a commit, on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from tests.conftest import DatabaseSource
from tests.infra.db.things import open_with_things, thing
from tremula.infra.db import Database, gathering


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def db(
    database_source: DatabaseSource,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Database]:
    # Whoever waits until then waits for ever.
    monkeypatch.setattr(gathering, "_LEAST_S", 3_600)
    monkeypatch.setattr(gathering, "_MOST_S", 3_600)
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
