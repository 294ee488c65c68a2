"""PostgreSQL, NATS and processes to be killed: nothing is shared with other tests."""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.cluster.balancer import Balancer, balancing
from tests.cluster.members import Members, running_members
from tests.dice import thrown
from tests.nats_server import NatsServer, running_nats
from tests.postgres_server import FAST_AND_UNSAFE, PostgresServer, running_postgres
from tremula.infra.config import PostgresUrl


@pytest.fixture
def dice() -> random.Random:
    """Chooses what happens and when; CHAOS_SEED=… chooses it again."""
    return thrown("CHAOS_SEED")


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL with sessions enough for many processes."""
    with running_postgres({**FAST_AND_UNSAFE, "max_connections": "200"}) as server:
        yield server


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A bus."""
    with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
async def members(
    postgres: PostgresServer, nats: NatsServer, tmp_path: Path
) -> AsyncIterator[Members]:
    """A server of three processes, of which each has to end well."""
    source = PostgresUrl(postgres.url("postgres"))
    async with running_members(tmp_path, source, nats.url) as members:
        yield members


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """The connections of all clients, each for one request: those that are kept may be
    closed from the other side while they are used anew.
    """
    connector = TCPConnector(limit=0, force_close=True)
    async with ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def balancer(session: ClientSession, members: Members) -> AsyncIterator[Balancer]:
    """What clients speak to."""
    async with balancing(session, members) as balancer:
        yield balancer
