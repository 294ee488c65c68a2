"""A server that serves all tests of a module: thousands of requests, one start."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
import pytest_asyncio

from tests.backends import BACKENDS, IS_CLUSTER
from tests.conformance.attacker import Attacker
from tests.conformance.world import make_world
from tests.conformance.write_watch import watched
from tests.conftest import in_cluster
from tests.postgres_server import PostgresServer
from tests.server import Server, config_for, running_server
from tremula.infra.config import PostgresUrl, SqliteFile

_numbers = count(1)


@pytest.fixture(params=BACKENDS, scope="module")
def lasting_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SqliteFile | PostgresUrl:
    """A new database of each engine, for a module."""
    if request.param == "sqlite":
        return SqliteFile(tmp_path_factory.mktemp("lasting") / "tremula.db")
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    source = PostgresUrl(asyncio.run(_new_database(postgres)))
    return in_cluster(source, request) if IS_CLUSTER else source


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting_server(
    lasting_database: SqliteFile | PostgresUrl, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A whole server on each engine, for a module."""
    folder: Path = tmp_path_factory.mktemp("data")
    async with running_server(config_for(lasting_database, folder)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacker(lasting_server: Server) -> AsyncIterator[Attacker]:
    """Sends bad requests to a server that serves all tests of a module."""
    with watched(lasting_server.db):
        yield Attacker(lasting_server, await make_world(lasting_server))


async def _new_database(postgres: PostgresServer) -> str:
    name = f"lasting_{next(_numbers)}"
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return postgres.url(name)
