"""How many units share a commit on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import new_database
from tests.infra.db.things import open_with_things, thing
from tests.postgres_server import PostgresServer
from tremula.infra.db import Database, gathering

BATCH = "SELECT batch FROM infra_writers WHERE writer = 1"


@pytest.fixture
async def db(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    # Whoever waits until then waits for ever.
    monkeypatch.setattr(gathering, "_LEAST_S", 3_600)
    monkeypatch.setattr(gathering, "_MOST_S", 3_600)
    async with new_database(postgres_server, tmp_path) as source:
        database = await open_with_things(source)
        yield database
        await database.close()


async def batch_of(db: Database) -> int:
    ((batch,),) = await db.all(BATCH)
    return int(batch)


def begun(db: Database, *nids: int) -> list[asyncio.Task[None]]:
    """Commits under way."""
    return [asyncio.create_task(db.commit(thing(nid, str(nid)))) for nid in nids]


async def test_a_batch_waits_for_as_many_units_as_the_last_one_had(
    db: Database,
) -> None:
    await asyncio.gather(*begun(db, 0, 1, 2, 3))
    before = await batch_of(db)

    async with asyncio.TaskGroup() as group:
        for nid in range(4, 8):
            group.create_task(db.commit(thing(nid, str(nid))))
            await db.all(BATCH)

    assert await batch_of(db) == before + 1


async def test_who_comes_during_a_commit_waits_for_those_who_share_it(
    db: Database,
) -> None:
    """Or two halves would take turns for good."""
    first = begun(db, 0, 1)
    # They submit, then their commit begins.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = begun(db, 2, 3)
    await asyncio.gather(*first)
    before = await batch_of(db)

    await asyncio.gather(*second, *begun(db, 4, 5))

    assert await batch_of(db) == before + 1


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
