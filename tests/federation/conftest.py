"""Fixtures: servers that speak with each other, in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.federation.network import Federation, running_federation


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    """A network to start servers on."""
    async with running_federation(tmp_path) as federation:
        yield federation
