"""A server under test, on each database, and a room of it with a remote member."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import DatabaseSource
from tests.rooms.federation.remote import BOB, Remote, ScriptedPeers
from tests.rooms.federation.servers import Engine, running_engine


@pytest.fixture
def peers() -> ScriptedPeers:
    return ScriptedPeers()


@pytest.fixture
async def engine(
    database_source: DatabaseSource, peers: ScriptedPeers
) -> AsyncIterator[Engine]:
    async with running_engine("test", database_source, peers) as engine:
        yield engine


@pytest.fixture
def version() -> str:
    return "10"


@pytest.fixture
async def remote(engine: Engine, version: str) -> Remote:
    """``@bob:remote``, a member of a public room that ``@alice:test`` has made."""
    room_id = await engine.create(version, engine.user("alice"))
    remote = Remote(engine, room_id)
    receipt = await remote.send(await remote.join(BOB))
    assert receipt.reason is None
    return remote
