"""How many units share a commit on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import new_database
from tests.infra.db.things import open_with_things, thing
from tests.postgres_server import PostgresServer
from tremula.infra.db import Database, postgres_writer

BATCH = "SELECT batch FROM infra_writers WHERE writer = 1"


@pytest.fixture
async def db(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    # Whoever waits until then waits for ever.
    monkeypatch.setattr(postgres_writer, "_GATHERING_S", 3_600)
    async with new_database(postgres_server, tmp_path) as source:
        database = await open_with_things(source)
        yield database
        await database.close()


async def test_a_batch_waits_for_as_many_units_as_the_last_one_had(
    db: Database,
) -> None:
    await asyncio.gather(*(db.commit(thing(nid, str(nid))) for nid in range(4)))
    before = await db.all(BATCH)

    async with asyncio.TaskGroup() as group:
        for nid in range(4, 8):
            group.create_task(db.commit(thing(nid, str(nid))))
            await db.all(BATCH)

    assert await db.all(BATCH) == [(before[0][0] + 1,)]


async def test_who_writes_alone_does_not_wait(db: Database) -> None:
    for nid in range(3):
        await db.commit(thing(nid, str(nid)))

    assert len(await db.all("SELECT name FROM things")) == 3
