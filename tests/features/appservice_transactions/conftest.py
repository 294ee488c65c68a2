"""Fixtures: bridges that a server can reach."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.features.appservice_transactions.bridge import Bridge, running_bridge
from tests.server import Server


@pytest.fixture
def server(timed_server: Server) -> Server:
    """A whole server, whose pauses end when the test says so."""
    return timed_server


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
