"""Fixtures: a bridge that encrypts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.features.appservice_transactions.bridge import Bridge, running_bridge
from tests.server import Server


@pytest.fixture
async def bridge(server: Server, tmp_path: Path) -> AsyncIterator[Bridge]:
    """A bridge that is told all that encryption takes."""
    async with running_bridge(tmp_path) as bridge:
        await server.add_appservice(bridge.registration(**{"org.matrix.msc3202": True}))
        yield bridge
