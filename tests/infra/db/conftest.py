"""A database with tables that only these tests know."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import DatabaseSource
from tests.infra.db.things import open_with_things
from tremula.infra.db import Database


@pytest.fixture
async def db(database_source: DatabaseSource) -> AsyncIterator[Database]:
    opened = await open_with_things(database_source)
    yield opened
    await opened.close()
