"""A PostgreSQL database that tests have one after the other, and its sessions.

A new session reads the catalog and plans every statement anew, which takes most of the
time of a test that begins with a new database. So a session that a test has ended is
reset, and given to the next one that asks for the same; what was stored is deleted.
"""

import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.postgres_server import PostgresServer
from tremula.infra.config import PostgresUrl

# What was deleted still takes room, and each test finds more of that; but sessions with
# a new database plan everything anew.
_USES_MAX: Final = 300
_TABLES: Final = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
# Differs when something was created, changed or dropped; filled tables are the same.
_SCHEMA: Final = "SELECT count(*), max(oid), sum(relnatts) FROM pg_class"

_numbers = itertools.count(1)


@asynccontextmanager
async def keeping_databases(
    server: PostgresServer, template: str
) -> AsyncIterator["KeptDatabases"]:
    """Copies of *template* for tests to share; all of them on this event loop."""
    kept = KeptDatabases(server, template)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg, "connect", kept.connect)
        yield kept
        await kept.close()


class KeptDatabases:
    """Lends a database to one test at a time."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._template = template
        self._database: _Database | None = None
        self._connect = asyncpg.connect

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[PostgresUrl]:
        """A database that is like new."""
        database = self._database = self._database or await self._create()
        database.uses += 1
        yield PostgresUrl(database.url)
        left = database.end_sessions_in_use()
        is_clean = not left and await database.clean()
        if not is_clean or database.uses == _USES_MAX:
            await self.close()
        assert not left, f"the test did not close {left} sessions with its database"

    async def connect(self, url: str, **options: Any) -> asyncpg.Connection:  # noqa: ANN401 - asyncpg's
        """What asyncpg's own does, but for sessions that are kept."""
        if self._database is None or url != self._database.url:
            return await self._connect(url, **options)
        return await self._database.session(self._connect, options)

    async def close(self) -> None:
        """Drop the database, if there is one; the next test has another."""
        if self._database is None:
            return
        await self._database.end()
        await self._administrate(f"DROP DATABASE {self._database.name} WITH (FORCE)")
        self._database = None

    async def _create(self) -> "_Database":
        name = f"kept_{next(_numbers)}"
        await self._administrate(
            f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY"
        )
        url = self._server.url(name)
        database = _Database(name, url, await self._connect(url))
        await database.begin()
        return database

    async def _administrate(self, statement: str) -> None:
        connection = await self._connect(self._server.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class _Database:
    """One database, the sessions with it, and what it held at first."""

    def __init__(self, name: str, url: str, own_session: asyncpg.Connection) -> None:
        self.name = name
        self.url = url
        self.uses = 0
        self._own_session = own_session
        self._filled_tables = ""
        self._schema: object = None
        self._first_rows: dict[str, list[Any]] = {}
        self._idle: defaultdict[str, list[_Session]] = defaultdict(list)
        self._in_use: set[_Session] = set()

    async def begin(self) -> None:
        """Note what it holds."""
        tables = [row[0] for row in await self._own_session.fetch(_TABLES)]
        self._filled_tables = " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})"  # noqa: S608
            for table in tables
        )
        self._schema = await self._own_session.fetchrow(_SCHEMA)
        for table in await self._filled():
            rows = await self._own_session.fetch(f"SELECT * FROM {table}")  # noqa: S608
            self._first_rows[table] = rows
        # Rows go in any order, whatever refers to them.
        await self._own_session.execute("SET session_replication_role = replica")

    async def session(
        self, connect: Callable[..., Any], options: Mapping[str, Any]
    ) -> "_Session":
        """One that was kept, or a new one, as *connect* makes it with *options*."""
        wanted = repr(options)
        idle = self._idle[wanted]
        while idle:
            session = idle.pop()
            if not session.is_closed():
                break
        else:
            session = await connect(self.url, connection_class=_Session, **options)
            session.ended = partial(self._take_back, idle)
        self._in_use.add(session)
        return session

    def _take_back(self, idle: list["_Session"], session: "_Session") -> None:
        self._in_use.discard(session)
        if not session.is_closed():
            idle.append(session)

    def end_sessions_in_use(self) -> int:
        """End those that the test has not; return how many there were."""
        in_use = [session for session in self._in_use if not session.is_closed()]
        for session in in_use:
            session.terminate()
        self._in_use.clear()
        return len(in_use)

    async def clean(self) -> bool:
        """Have it hold what it did at first; whether that was possible."""
        if await self._own_session.fetchrow(_SCHEMA) != self._schema:
            return False
        filled = await self._filled()
        deletions = (f"DELETE FROM {table}" for table in filled)  # noqa: S608
        await self._own_session.execute("; ".join(deletions))
        for table, rows in self._first_rows.items():
            await self._own_session.copy_records_to_table(table, records=rows)
        return True

    async def end(self) -> None:
        """End all sessions."""
        for session in itertools.chain(*self._idle.values()):
            session.terminate()
        await self._own_session.close()

    async def _filled(self) -> list[str]:
        return [row[0] for row in await self._own_session.fetch(self._filled_tables)]


class _Session(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """One that is not closed, but reset, when its user is done with it."""

    ended: Callable[["_Session"], None]

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's
        """Reset it, or really close it if that is not possible."""
        try:
            await self.reset(timeout=timeout)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await super().close(timeout=timeout)
        self.ended(self)
