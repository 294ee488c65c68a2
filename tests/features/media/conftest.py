"""A server whose clock the tests turn, and whose limits they choose.

``@pytest.mark.parametrize("media", [Media(…)])`` replaces the configuration.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.server import Server, UserClient, config_for, running_server
from tremula.infra.config import Media


@pytest.fixture
def media() -> Media:
    return Media()


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path, clock: FakeClock, media: Media
) -> AsyncIterator[Server]:
    config = replace(config_for(database_source, tmp_path), media=media)
    async with running_server(config, clock) as server:
        yield server


@pytest.fixture
def alice(server: Server) -> UserClient:
    return server.client("@alice:test")


@pytest.fixture
def bob(server: Server) -> UserClient:
    return server.client("@bob:test")
