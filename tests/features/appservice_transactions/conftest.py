"""Fixtures: bridges that a server can reach."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.appservice_transactions.bridge import Bridge, running_bridge
from tests.server import Server, config_for, running_server


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Server]:
    """A whole server, whose pauses end when the test says so."""
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        yield server


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    """A bridge, which the server does not know yet."""
    async with running_bridge(tmp_path) as bridge:
        yield bridge


@pytest.fixture
async def bridged(server: Server, bridge: Bridge) -> Bridge:
    """The same bridge, of which the server knows."""
    await server.add_appservice(bridge.registration())
    return bridge
