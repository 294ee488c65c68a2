"""A database with tables that only these tests know."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource, new_database
from tests.infra.db.members import Leases, make_tables
from tests.infra.db.things import open_with_things
from tests.postgres_server import PostgresServer
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import Database


@pytest.fixture
async def db(database_source: DatabaseSource) -> AsyncIterator[Database]:
    opened = await open_with_things(database_source)
    yield opened
    await opened.close()


@pytest.fixture
async def source(
    postgres_server: PostgresServer, tmp_path: Path
) -> AsyncIterator[PostgresUrl]:
    """Where the tables of members are, on PostgreSQL."""
    async with new_database(postgres_server, tmp_path) as source:
        assert isinstance(source, PostgresUrl)
        await make_tables(source)
        yield source


@pytest.fixture
def leases(source: PostgresUrl) -> Leases:
    return Leases(source)
