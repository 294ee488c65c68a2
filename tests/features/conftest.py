"""Fixtures: people, and servers of a few features without the rest of the program.

``@pytest.mark.parametrize("policy", [Policy(…)])`` replaces the accounts' default one.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.accounts import AccountsServer, Policy, start_accounts
from tests.features.user_data import UserDataServer, start_user_data
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.db import Database


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client("@alice:test")


@pytest.fixture
async def bob(server: Server) -> Client:
    """Who is there already, to be invited and looked for."""
    bob = server.client("@bob:test")
    await bob.get("/v3/account/whoami")
    return bob


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
async def accounts(
    database: Database, policy: Policy, clock: FakeClock
) -> AsyncIterator[AccountsServer]:
    started = await start_accounts(database, policy, clock)
    yield started
    started.users.passwords.close()


@pytest.fixture
async def user_data(database: Database, clock: FakeClock) -> UserDataServer:
    return await start_user_data(database, clock)


@pytest.fixture
async def timed_server(
    database_source: DatabaseSource, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Server]:
    """A server of the test's own time."""
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        yield server
