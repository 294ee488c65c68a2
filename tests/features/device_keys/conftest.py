"""Fixtures: a server with accounts and keys; what other features do is faked."""

import pytest

from tests.features.accounts import AccountsServer
from tests.features.device_keys.server import KeysServer, start_keys
from tests.http_client import Client


@pytest.fixture
async def keys(accounts: AccountsServer) -> KeysServer:
    return start_keys(accounts)


@pytest.fixture
async def alice(keys: KeysServer) -> Client:
    """The device PHONE of Alice, who has published nothing yet."""
    return await keys.user("alice", "PHONE")


@pytest.fixture
async def bob(keys: KeysServer) -> Client:
    """The device DESK of Bob."""
    return await keys.user("bob", "DESK")
