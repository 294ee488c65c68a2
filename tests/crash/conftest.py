"""Servers with TLS that speak with others, to be killed."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.conftest import DatabaseSource
from tests.crash.person import http_session
from tests.dice import thrown
from tests.interop.gate import Gate
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.trust import Trust, new_trust
from tremula.infra.config import SqliteFile


@pytest.fixture
def dice() -> random.Random:
    """Chooses the moments; CRASH_SEED=… chooses them again."""
    return thrown("CRASH_SEED")


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """The connections of all people."""
    async with http_session() as session:
        yield session


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """The authority that the servers trust."""
    folder = tmp_path / "trust"
    folder.mkdir()
    return new_trust(folder)


@pytest.fixture
async def crashing(
    trust: Trust, tmp_path: Path, database_source: DatabaseSource
) -> AsyncIterator[TremulaPeer]:
    """The server that is killed, on each engine."""
    database = (
        f"sqlite:{database_source.path}"
        if isinstance(database_source, SqliteFile)
        else database_source.url
    )
    async with _running_peer(tmp_path / "crashing", trust, database) as peer:
        yield peer


@pytest.fixture
async def steady(trust: Trust, tmp_path: Path) -> AsyncIterator[TremulaPeer]:
    """The server that is not."""
    async with _running_peer(tmp_path / "steady", trust) as peer:
        yield peer


@asynccontextmanager
async def _running_peer(
    folder: Path, trust: Trust, database: str | None = None
) -> AsyncIterator[TremulaPeer]:
    gate = Gate()
    await gate.listen()
    peer = TremulaPeer(folder, trust, gate, database)
    try:
        await peer.start()
        yield peer
        await peer.stop()
        peer.assert_without_complaints()
    finally:
        await peer.clean_up()
        await gate.close()
