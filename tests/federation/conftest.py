"""Fixtures: servers that speak with each other, in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.federation.memberships import ALICE, BOB
from tests.federation.network import Federation, running_federation
from tests.federation.remote import FAR, Remote, add_remote
from tests.http_client import Client
from tests.server import Server


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    """A network to start servers on."""
    async with running_federation(tmp_path) as federation:
        yield federation


@pytest.fixture
async def two(database_source: DatabaseSource, federation: Federation) -> Server:
    """The server ``two.test``, on each engine.

    A test that takes the federation as well has to take it after this: servers are to
    be stopped before the database is dropped.
    """
    return await federation.start("two.test", database_source)


@pytest.fixture
async def one(two: Server, federation: Federation) -> Server:
    """The server ``one.test``, beside ``two.test``."""
    return await federation.start("one.test")


@pytest.fixture
async def alice(one: Server) -> Client:
    """A user of ``one.test``, who is registered."""
    return await _registered(one.client(ALICE))


@pytest.fixture
async def bob(two: Server) -> Client:
    """A user of ``two.test``, who is registered."""
    return await _registered(two.client(BOB))


@pytest.fixture
def remote(two: Server, federation: Federation) -> Remote:
    """The server ``far.test``, written by hand."""
    return add_remote(federation, FAR)


@pytest.fixture
def third(two: Server, federation: Federation) -> Remote:
    """The server ``third.test``, written by hand as well."""
    return add_remote(federation, "third.test", 3)


async def _registered(client: Client) -> Client:
    # The clients of tests register with their first request.
    assert (await client.get("/v3/account/whoami")).status == 200
    return client
