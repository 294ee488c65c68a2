"""Fixtures for the whole suite."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.homeserver import Homeserver, running_homeserver
from tests.http_client import spec_header
from tests.postgres_server import PostgresServer, running_postgres
from tests.server import Server, config_for, running_server
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import Database, open_database

DatabaseSource = SqliteFile | PostgresUrl

_TEMPLATE = "tremula_template"
_numbers = itertools.count(1)


def pytest_report_header() -> str:
    """Say whether answers are checked against the specification's schemas."""
    return spec_header()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL, and in it a template with all migrations applied."""
    with running_postgres() as server:
        asyncio.run(_make_template(server))
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def postgres_or_sqlite(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The engine of this run of the test: the server, or None for SQLite."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server


@pytest.fixture
async def database_source(
    postgres_or_sqlite: PostgresServer | None, tmp_path: Path
) -> AsyncIterator[DatabaseSource]:
    """A new database of each engine, not open yet."""
    server = postgres_or_sqlite
    if server is None:
        yield SqliteFile(tmp_path / "tremula.db")
        return
    name = f"test_{next(_numbers)}"
    await _administrate(
        server, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY"
    )
    yield PostgresUrl(server.url(name))
    await _administrate(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_source: DatabaseSource) -> AsyncIterator[Database]:
    """An open database of each engine, with all migrations applied."""
    database = await open_database(database_source)
    yield database
    await database.close()


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[Server]:
    """A whole server on each engine, without listeners."""
    async with running_server(config_for(database_source, tmp_path)) as server:
        yield server


@pytest.fixture
async def homeserver(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[Homeserver]:
    """A server as a process of its own on each engine; its log must be clean."""
    folder = tmp_path / "homeserver"
    async with running_homeserver(folder, database_source) as homeserver:
        yield homeserver


async def _make_template(server: PostgresServer) -> None:
    await _administrate(server, f"CREATE DATABASE {_TEMPLATE}")
    template = await open_database(PostgresUrl(server.url(_TEMPLATE)))
    await template.close()


async def _administrate(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
