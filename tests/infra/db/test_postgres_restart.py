"""PostgreSQL goes away and comes back: errors are clear, nothing is doubled or lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import cast

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.infra.db.things import names, open_with_things, thing
from tests.postgres_server import PostgresServer, running_postgres
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import Database, DatabaseUnavailable, Statements
from tremula.infra.db.postgres import PostgresDatabase
from tremula.infra.db.postgres_session import Connection


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that nobody else uses."""
    with running_postgres() as server:
        yield server


@pytest.fixture
async def db(own_server: PostgresServer) -> AsyncIterator[Database]:
    opened = await open_with_things(PostgresUrl(own_server.url("postgres")))
    emptying = Statements()
    emptying.run("DELETE FROM things")
    await opened.commit(emptying)
    yield opened
    await opened.close()


async def _back(db: Database) -> None:
    """Wait until reading and writing work again."""
    nid = 1_000_000
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await db.commit(thing(nid, f"{nid}"))
                await names(db)
                return
            nid += 1
            await asyncio.sleep(0.05)


async def test_an_idle_server_that_restarted_is_not_noticed(
    db: Database, own_server: PostgresServer
) -> None:
    await db.commit(thing(1, "a"))
    await names(db)
    await asyncio.to_thread(own_server.stop)
    await asyncio.to_thread(own_server.start)

    await db.commit(thing(2, "b"))

    assert await names(db) == ["a", "b"]


async def test_a_server_that_is_gone_is_a_clear_error(
    db: Database, own_server: PostgresServer
) -> None:
    await asyncio.to_thread(own_server.stop)

    with pytest.raises(DatabaseUnavailable):
        await db.commit(thing(1, "a"))
    with pytest.raises(DatabaseUnavailable):
        await db.commit(thing(2, "b"))
    with pytest.raises(DatabaseUnavailable):
        await names(db)

    await asyncio.to_thread(own_server.start)
    await _back(db)
    assert "a" not in await names(db)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_crash_under_load_tells_the_truth(
    db: Database, own_server: PostgresServer, mode: str
) -> None:
    """Each unit is stored if and only if its writer was told so."""
    stored: set[str] = set()
    failed: set[str] = set()
    is_over = False

    async def write(writer: int) -> None:
        number = 0
        while not is_over:
            number += 1
            name = f"{writer}-{number}"
            try:
                await db.commit(thing(writer * 1_000_000 + number, name))
            except DatabaseUnavailable:
                failed.add(name)
                await asyncio.sleep(0.01)
            else:
                stored.add(name)

    async with asyncio.TaskGroup() as tasks:
        for writer in range(2, 10):
            tasks.create_task(write(writer))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_server.stop, mode)
        await asyncio.to_thread(own_server.start)
        await _back(db)
        await asyncio.sleep(0.3)
        is_over = True

    found = {name for name in await names(db) if "-" in name}
    assert found == stored
    assert stored
    assert not found & failed


class _Cable:
    """A connection whose *method* can be replaced."""

    def __init__(self, session: Connection, method: str, replacement: object) -> None:
        self._session = session
        self._method = method
        self._replacement = replacement

    def __getattr__(self, name: str) -> object:
        if name == self._method:
            return self._replacement
        return getattr(self._session, name)


def _replace(db: Database, method: str, replacement: object) -> Connection:
    """Replace *method* of the writer's connection; returns the real one."""
    assert isinstance(db, PostgresDatabase)
    writer = db._writer  # noqa: SLF001 - where the cable is cut
    session = writer._connection  # noqa: SLF001
    cable = _Cable(session, method, replacement)
    writer._connection = cast("Connection", cable)  # noqa: SLF001
    return session


@pytest.mark.parametrize("is_committed", [True, False])
async def test_an_answer_lost_during_commit_is_found_out(
    db: Database, *, is_committed: bool
) -> None:
    """The connection breaks just before or just after the server commits."""

    async def cut(query: str, *args: object) -> str:
        if query != "COMMIT":
            return await execute(query, *args)
        if is_committed:
            await execute(query)
        session.terminate()
        raise ConnectionResetError("cable cut")

    session = _replace(db, "execute", cut)
    execute = session.execute

    try:
        await db.commit(thing(1, "a"))
    except DatabaseUnavailable:
        assert not is_committed
    else:
        assert is_committed
    assert await names(db) == (["a"] if is_committed else [])


async def test_a_driver_that_loses_its_way_leaves_nobody_waiting(db: Database) -> None:
    """asyncpg raised this when the server went away between two statements."""

    async def confused(*_: object) -> None:
        raise asyncpg.InternalClientError("another operation is in progress")

    session = _replace(db, "execute", confused)

    with pytest.raises(DatabaseUnavailable):
        await db.commit(thing(1, "a"))

    assert session.is_closed()
    await _back(db)
    assert "a" not in await names(db)
