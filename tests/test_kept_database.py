"""What a test leaves in a database that the next one has, which is nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.conftest import TEMPLATE
from tests.kept_database import KeptDatabases, keeping_databases
from tests.postgres_server import PostgresServer
from tremula.infra.config import PostgresUrl
from tremula.infra.db import Statements, open_database
from tremula.infra.db.postgres_session import Connection, connect

_BACKEND = "SELECT pg_backend_pid()"
_LOCK = "SELECT pg_try_advisory_lock(1)"
_WRITERS = "SELECT * FROM infra_writers"


@pytest.fixture
async def databases(postgres_server: PostgresServer) -> AsyncIterator[KeptDatabases]:
    async with keeping_databases(postgres_server, TEMPLATE) as databases:
        yield databases


async def _session(source: PostgresUrl) -> Connection:
    return await connect(source.url, {"application_name": "test"})


async def test_the_next_test_has_the_same_sessions_with_nothing_in_them(
    databases: KeptDatabases,
) -> None:
    async with databases.lent() as source:
        session = await _session(source)
        backend = await session.fetchval(_BACKEND)
        await session.execute("SET application_name = 'changed'")
        await session.execute(_LOCK)
        await session.close(timeout=1)

    async with databases.lent() as source:
        session, other = await _session(source), await _session(source)
        assert await session.fetchval(_BACKEND) == backend
        assert await session.fetchval("SHOW application_name") == "test"
        assert await other.fetchval(_LOCK)
        await session.close(timeout=1)
        await other.close(timeout=1)


async def test_the_next_test_finds_what_migrations_have_stored(
    databases: KeptDatabases,
) -> None:
    async with databases.lent() as source:
        database = await open_database(source)
        first = await database.all(_WRITERS)
        unit = Statements()
        unit.run("INSERT INTO infra_server (id, server_name) VALUES (1, 'test')")
        await database.commit(unit)
        await database.close()

    async with databases.lent() as source:
        database = await open_database(source)
        assert await database.all(_WRITERS) == first
        assert await database.first("SELECT 1 FROM infra_server") is None
        await database.close()


async def test_a_schema_that_was_changed_is_not_for_the_next(
    databases: KeptDatabases,
) -> None:
    async with databases.lent() as source:
        session = await _session(source)
        await session.execute("ALTER TABLE infra_server ADD COLUMN other TEXT")
        await session.close(timeout=1)

    async with databases.lent() as another:
        assert another != source


async def test_a_session_that_is_left_open_fails_the_test_and_is_ended(
    databases: KeptDatabases,
) -> None:
    stack = AsyncExitStack()
    source = await stack.enter_async_context(databases.lent())
    session = await _session(source)

    with pytest.raises(AssertionError, match="did not close 1 session"):
        await stack.aclose()

    assert session.is_closed()
    async with databases.lent() as another:
        assert another != source
