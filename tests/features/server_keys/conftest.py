"""A key ring over a fake network."""

import pytest

from tests.fakes.clock import FakeClock
from tests.features.server_keys.ring import Setting, open_setting
from tremula.infra.db import Database


@pytest.fixture
async def setting(database: Database) -> Setting:
    """This server with its keys, alone on the network."""
    return await open_setting(database, FakeClock())
