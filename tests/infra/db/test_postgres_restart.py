"""PostgreSQL goes away and comes back: errors are clear, nothing is doubled or lost."""

# pyright: reportPrivateUsage=false
# The tests cut the cable inside the writer.

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import NoneType
from typing import cast

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
from msgspec.structs import replace

from tests.infra.db.things import names, open_with_things, thing
from tests.postgres_server import PostgresServer, running_postgres
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import Database, DatabaseUnavailable, Statements
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.postgres_session import Connection, Session, start_session
from tremula.infra.db.postgres_writer import PostgresWriter

Execute = Callable[..., Awaitable[str]]


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
    """A connection whose ``execute`` a test replaces."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.execute: Execute = connection.execute

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@contextlib.asynccontextmanager
async def _writer(
    url: str, cut: Callable[[Connection], Execute]
) -> AsyncIterator[PostgresWriter]:
    """A writer whose first session executes through what *cut* returns."""

    async def connect() -> Session:
        return await start_session(url)

    session = await connect()
    cable = _Cable(session.connection)
    cable.execute = cut(session.connection)
    first = replace(session, connection=cast("Connection", cable))
    writer = PostgresWriter(first, connect, WriterMetrics.registered(None))
    yield writer
    await writer.close()


async def _outcome(writer: PostgresWriter, nid: int) -> Exception | None:
    settled: asyncio.Future[Exception | None] = asyncio.Future()
    writer.submit(thing(nid, f"{nid}"), settled.set_result)
    return await settled


def _cut_at(beginning: str, *, is_committed: bool) -> Callable[[Connection], Execute]:
    """Cut the cable just before or just after a statement that begins so is run."""

    def cut(connection: Connection) -> Execute:
        async def execute(query: str, *args: object) -> str:
            if not query.lstrip().startswith(beginning):
                return await connection.execute(query, *args)
            if is_committed:
                await connection.execute(query, *args)
            connection.terminate()
            raise ConnectionResetError("cable cut")

        return execute

    return cut


async def _stored(url: str) -> list[str]:
    db = await open_with_things(PostgresUrl(url))
    found = await names(db)
    await db.close()
    return found


@pytest.mark.parametrize("is_committed", [True, False])
async def test_an_answer_lost_during_commit_is_found_out(
    db: Database, own_server: PostgresServer, *, is_committed: bool
) -> None:
    """The connection breaks just before or just after the server commits."""
    await db.close()
    url = own_server.url("postgres")

    async with _writer(url, _cut_at("COMMIT", is_committed=is_committed)) as writer:
        outcome = await _outcome(writer, 1)

    assert isinstance(outcome, NoneType if is_committed else DatabaseUnavailable)
    assert await _stored(url) == (["1"] if is_committed else [])


@pytest.mark.parametrize("is_committed", [True, False])
async def test_an_answer_lost_with_all_that_came_at_once_is_found_out(
    db: Database, own_server: PostgresServer, *, is_committed: bool
) -> None:
    """As above; the rows, and the commit, are one statement."""
    await db.close()
    url = own_server.url("postgres")

    async with _writer(url, _cut_at("WITH", is_committed=is_committed)) as writer:
        assert await _outcome(writer, 1) is None
        outcome = await _outcome(writer, 2)
        assert await _outcome(writer, 3) is None

    assert isinstance(outcome, NoneType if is_committed else DatabaseUnavailable)
    assert await _stored(url) == (["1", "2", "3"] if is_committed else ["1", "3"])


async def test_a_driver_that_loses_its_way_leaves_nobody_waiting(
    db: Database, own_server: PostgresServer
) -> None:
    """asyncpg raised this when the server went away between two statements."""
    await db.close()
    url = own_server.url("postgres")

    def cut(connection: Connection) -> Execute:
        async def execute(*_: object) -> str:
            raise asyncpg.InternalClientError("another operation is in progress")

        return execute

    async with _writer(url, cut) as writer:
        assert isinstance(await _outcome(writer, 1), DatabaseUnavailable)
        async with asyncio.timeout(30):
            await _stored_at_last(writer, 2)

    assert await _stored(url) == ["2"]


async def _stored_at_last(writer: PostgresWriter, nid: int) -> None:
    while True:
        with contextlib.suppress(DatabaseUnavailable):
            assert await _outcome(writer, nid) is None
            return
        await asyncio.sleep(0.05)
