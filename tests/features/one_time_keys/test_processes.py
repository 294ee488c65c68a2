"""Claims by several processes at once, which share a PostgreSQL only."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import orjson
import pytest

from tests.conftest import DatabaseSource
from tests.features.one_time_keys.keys import ALICE, DEVICE, SIGNED, add, signed_keys
from tests.infra.db.members import Leases, member
from tests.postgres_server import PostgresServer
from tremula.features.one_time_keys.service import KeyClaim, OneTimeKeys
from tremula.infra.config import PostgresUrl
from tremula.infra.db import Database
from tremula.infra.journal import Journal
from tremula.infra.positions import Positions

PROCESSES = 4
WANTED = [KeyClaim(ALICE, DEVICE, SIGNED)]


@pytest.fixture
def postgres_or_sqlite(postgres_server: PostgresServer) -> PostgresServer:
    """PostgreSQL alone: nobody else opens the file of an SQLite database."""
    return postgres_server


async def service(database: Database, writer: int) -> OneTimeKeys:
    positions = await Positions.open(database, writer=writer, writers=PROCESSES)
    return OneTimeKeys(database, Journal(database, positions))


async def claimed_keys(keys: OneTimeKeys) -> object:
    """What is claimed, as it is sent."""
    return orjson.loads(orjson.dumps(await keys.claim(WANTED)))


async def test_1000_claims_by_4_processes_give_each_of_100_keys_to_one(
    database_source: DatabaseSource,
) -> None:
    assert isinstance(database_source, PostgresUrl)
    leases = Leases(database_source)
    async with AsyncExitStack() as members:
        services = []
        for writer in range(PROCESSES):
            lease = await leases.number(writer)
            database = await members.enter_async_context(member(database_source, lease))
            services.append(await service(database, writer))
        await add(services[0], ALICE, DEVICE, signed_keys(*range(100)), {})
        answers = await asyncio.gather(
            *(services[number % PROCESSES].claim(WANTED) for number in range(1000))
        )

    names = [name for keys in answers for name in keys.get(ALICE, {}).get(DEVICE, {})]
    assert sorted(names) == sorted(signed_keys(*range(100)))


async def test_a_claim_does_not_wait_for_one_under_way_elsewhere(
    database_source: DatabaseSource, database: Database
) -> None:
    """It takes the next key; what is rolled back is there for the one after."""
    assert isinstance(database_source, PostgresUrl)
    keys = await service(database, 0)
    await add(keys, ALICE, DEVICE, signed_keys(1, 2), {})
    other = await asyncpg.connect(database_source.url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE one_time_keys SET claimed = 1 WHERE part = 0")
    claimed = await claimed_keys(keys)
    await transaction.rollback()
    await other.close()

    assert claimed == {ALICE: {DEVICE: signed_keys(2)}}
    assert await claimed_keys(keys) == {ALICE: {DEVICE: signed_keys(1)}}
