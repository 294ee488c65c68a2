"""A database to copy from, and one to copy to, of all pairs of engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource, new_database
from tests.postgres_server import PostgresServer

Engines = tuple[PostgresServer | None, PostgresServer | None]


@pytest.fixture(
    params=[
        ("sqlite", "postgres"),
        ("postgres", "sqlite"),
        ("sqlite", "sqlite"),
        ("postgres", "postgres"),
    ],
    ids="-to-".join,
)
def engines(request: pytest.FixtureRequest) -> Engines:
    """The servers of the source and of the target, None for SQLite."""
    source, target = (
        request.getfixturevalue("postgres_server") if engine == "postgres" else None
        for engine in request.param
    )
    return source, target


@pytest.fixture
async def source(engines: Engines, tmp_path: Path) -> AsyncIterator[DatabaseSource]:
    """Where a server has been, once a test has opened it."""
    async with new_database(engines[0], tmp_path / "source.db") as database:
        yield database


@pytest.fixture
async def target(engines: Engines, tmp_path: Path) -> AsyncIterator[DatabaseSource]:
    """Nothing: no table yet."""
    async with new_database(
        engines[1], tmp_path / "target.db", template="template0"
    ) as database:
        yield database
