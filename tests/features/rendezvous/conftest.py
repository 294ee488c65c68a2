"""A server whose clock the tests turn."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.server import Server, config_for, running_server


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Server]:
    config = config_for(database_source, tmp_path)
    async with running_server(config, clock) as server:
        yield server
