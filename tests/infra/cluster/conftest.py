"""A database of PostgreSQL, where clusters are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import new_database
from tests.postgres_server import PostgresServer
from tremula.infra.config import PostgresUrl


@pytest.fixture
async def source(
    postgres_server: PostgresServer, tmp_path: Path
) -> AsyncIterator[PostgresUrl]:
    async with new_database(postgres_server, tmp_path) as source:
        assert isinstance(source, PostgresUrl)
        yield source
