"""Alice's phone, whose keys the tests upload and claim."""

import pytest

from tests.features.one_time_keys.keys import ALICE, DEVICE
from tests.http_client import Client
from tests.server import Server


@pytest.fixture
async def alice(server: Server) -> Client:
    client = server.client(ALICE, device_id=DEVICE)
    assert (await client.get("/v3/account/whoami")).status == 200
    return client
