"""Fixtures for the whole suite."""

import asyncio
import atexit
import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.backends import BACKENDS, IS_CLUSTER, runs_here
from tests.homeserver import Homeserver, running_homeserver
from tests.http_client import spec_header
from tests.kept_database import KeptDatabases, keeping_databases
from tests.logs import log_plainly
from tests.nats_server import NatsServer, running_nats
from tests.postgres_server import PostgresServer, memory_folder, running_postgres
from tests.server import ClusterUrl, Server, config_for, running_server
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import Database, open_database

DatabaseSource = SqliteFile | PostgresUrl

TEMPLATE = "tremula_template"
"""A database with all migrations applied, of which tests have copies."""
# How many new objects have the collector look for cycles, instead of 700: a test that
# makes a server had it look a dozen times.
_NEW_OBJECTS: Final = 20_000
_numbers = itertools.count(1)
_sqlite_template: list[Path] = []


def pytest_configure() -> None:
    """Have SQLite's files in memory as well, where the tests' fsyncs cost nothing."""
    log_plainly()
    if (folder := memory_folder()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))


def pytest_collection() -> None:
    """Look for no garbage among what is only made now."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for it in what the tests make, not in the tests, of which none goes."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    gc.enable()


def pytest_report_header() -> str:
    """Say whether answers are checked against the specification's schemas."""
    return spec_header()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what does not run on the backend that was chosen."""
    others = [item for item in items if not runs_here(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if runs_here(item)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL, and in it a template with all migrations applied."""
    with running_postgres(parent=memory_folder()) as server:
        asyncio.run(_make_template(server))
        yield server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A bus, for the servers of several processes."""
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=BACKENDS)
def postgres_or_sqlite(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The engine of this run of the test: the server, or None for SQLite."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server


@pytest.fixture(scope="session")
async def kept_databases(
    postgres_server: PostgresServer,
) -> AsyncIterator[KeptDatabases]:
    """Databases of PostgreSQL that serve many tests."""
    async with keeping_databases(postgres_server, TEMPLATE) as databases:
        yield databases


@pytest.fixture
def databases_to_share(
    postgres_or_sqlite: PostgresServer | None, request: pytest.FixtureRequest
) -> KeptDatabases | None:
    """Where the test has its database from; None for one that only this test has."""
    if postgres_or_sqlite is None:
        return None
    databases: KeptDatabases = request.getfixturevalue("kept_databases")
    return databases


@pytest.fixture
async def database_source(
    postgres_or_sqlite: PostgresServer | None,
    databases_to_share: KeptDatabases | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[DatabaseSource]:
    """A new database of each engine, or of a cluster, not open yet."""
    if databases_to_share is None:
        database = new_database(postgres_or_sqlite, tmp_path / "tremula.db")
    else:
        database = databases_to_share.lent()
    async with database as source:
        yield in_cluster(source, request) if IS_CLUSTER else source


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


def in_cluster(
    source: DatabaseSource, request: pytest.FixtureRequest
) -> DatabaseSource:
    """The same database, for a server of several processes."""
    assert isinstance(source, PostgresUrl)
    bus: NatsServer = request.getfixturevalue("nats_server")
    return ClusterUrl(source.url, bus.url)


@asynccontextmanager
async def new_database(
    server: PostgresServer | None, path: Path, *, template: str = TEMPLATE
) -> AsyncGenerator[DatabaseSource]:
    """A database on *server*, gone at the end, or else in the file at *path*."""
    if server is None:
        if template == TEMPLATE:
            if not _sqlite_template:
                await _make_sqlite_template()
            shutil.copyfile(_sqlite_template[0], path)
        yield SqliteFile(path)
        return
    name = f"test_{next(_numbers)}"
    await _administrate(
        server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
    )
    yield PostgresUrl(server.url(name))
    await _administrate(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _make_sqlite_template() -> None:
    """A file with all migrations applied, which take longer than most tests."""
    folder = tempfile.mkdtemp(prefix="tremula-sqlite-", dir=memory_folder())
    atexit.register(shutil.rmtree, folder)
    source = SqliteFile(Path(folder, "template.db"))
    template = await open_database(source)
    await template.close()
    _sqlite_template.append(source.path)


async def _make_template(server: PostgresServer) -> None:
    await _administrate(server, f"CREATE DATABASE {TEMPLATE}")
    template = await open_database(PostgresUrl(server.url(TEMPLATE)))
    await template.close()


async def _administrate(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
