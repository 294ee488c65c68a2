"""The session that writes: connected, holding the writer's lock."""

# ruff: noqa: D102 - the Protocol below repeats what asyncpg documents

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from msgspec import Struct

from tremula.infra.db.errors import (
    DatabaseInUse,
    DatabaseRefused,
    DatabaseUnavailable,
    WriterLost,
)
from tremula.infra.db.fencing import ALONE, WriterLease
from tremula.infra.db.postgres_errors import SERVER_GONE

CONNECT_TIMEOUT_S: Final = 10
# "TREMULA1" as a number: the advisory lock of the one writer, which the members of a
# cluster share.
_WRITER_LOCK: Final = int.from_bytes(b"TREMULA1")
# Each of those has one of its own, of this class.
MEMBER_LOCKS: Final = int.from_bytes(b"TREM")

CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "timeout": CONNECT_TIMEOUT_S,
    "command_timeout": 120,
    "statement_cache_size": 1_000,
    "max_cached_statement_lifetime": 0,
}
SESSION_SETTINGS: Final = {
    "application_name": "tremula",
    "jit": "off",
    "timezone": "UTC",
    # A partner that went silent is noticed within about half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}
_WRITER_SETTINGS: Final = {"synchronous_commit": "on"}
# A process that stops amid a batch keeps those waiting who take over its slots.
_MEMBER_SETTINGS: Final = {"idle_in_transaction_session_timeout": "2s"}


class ParameterType(Protocol):
    """What we use of ``asyncpg.Type``."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def schema(self) -> str: ...


class Prepared(Protocol):
    """What we use of ``asyncpg.prepared_stmt.PreparedStatement``."""

    def get_parameters(self) -> Sequence[ParameterType]: ...


class Connection(Protocol):
    """What we use of ``asyncpg.Connection``."""

    async def execute(self, query: str, /, *args: object) -> str: ...
    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], /
    ) -> None: ...
    async def fetch(self, query: str, /, *args: object) -> list[Sequence[Any]]: ...
    async def fetchrow(self, query: str, /, *args: object) -> Sequence[Any] | None: ...
    async def fetchval(self, query: str, /, *args: object) -> Any: ...  # noqa: ANN401 - one value of any type
    async def prepare(self, query: str, /) -> Prepared: ...
    def transaction(self) -> AbstractAsyncContextManager[None]: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...
    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109 - asyncpg's


class Session(Struct, frozen=True):
    """A connection that holds the writer's lock.

    ``batch`` is the number of the last batch that was committed before.
    """

    connection: Connection
    batch: int


async def start_session(url: str, lease: WriterLease | None = None) -> Session:
    """Connect, take the writer's lock, and find where the last session ended.

    *lease* is that of a member of a cluster, None is for a process alone.

    Raises:
        DatabaseInUse: another session holds the lock.
        DatabaseRefused: the database at *url* can't be used.
        DatabaseUnavailable: it can't be reached now.
        WriterLost: *lease* has ended.
    """
    settings = (
        _WRITER_SETTINGS if lease is None else _WRITER_SETTINGS | _MEMBER_SETTINGS
    )
    connection = await connect(url, settings)
    try:
        await _check_encoding(connection)
        if lease is None:
            await _take_lock(connection)
            return Session(connection, await _last_batch(connection))
        await take_member_lock(connection)
        await _take_own_lock(connection, lease)
        return Session(connection, await _last_member_batch(connection, lease))
    except (*SERVER_GONE, asyncpg.InterfaceError) as error:
        connection.terminate()
        raise DatabaseUnavailable(f"PostgreSQL can't be reached: {error}") from error
    except (DatabaseRefused, WriterLost):
        await connection.close(timeout=CONNECT_TIMEOUT_S)
        raise


async def connect(url: str, settings: Mapping[str, str]) -> Connection:
    """A session with *settings*.

    Raises:
        DatabaseRefused: the database at *url* can't be used.
        DatabaseUnavailable: it can't be reached now.
    """
    try:
        connection: Connection = await asyncpg.connect(
            url,
            server_settings={**SESSION_SETTINGS, **settings},
            **CONNECTION_OPTIONS,
        )
    except SERVER_GONE as error:
        raise DatabaseUnavailable(f"PostgreSQL can't be reached: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseRefused(f"PostgreSQL refuses: {error}") from error
    return connection


async def take_member_lock(connection: Connection) -> None:
    """Keep processes out that would have the database to themselves.

    Raises:
        DatabaseInUse: there is one.
    """
    take = "SELECT pg_try_advisory_lock_shared($1)"
    if not await connection.fetchval(take, _WRITER_LOCK):
        raise DatabaseInUse("a Tremula without a bus writes to this database")


async def end(connection: Connection) -> None:
    """Close *connection*, which may be broken."""
    try:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    except (*SERVER_GONE, asyncpg.InterfaceError):
        connection.terminate()


async def _check_encoding(connection: Connection) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise DatabaseRefused(f"the database must be in UTF8, it is in {encoding}")


async def _take_lock(connection: Connection) -> None:
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _WRITER_LOCK):
        raise DatabaseInUse("another Tremula writes to this PostgreSQL database")


async def _take_own_lock(connection: Connection, lease: WriterLease) -> None:
    take = "SELECT pg_try_advisory_lock($1, $2)"
    if not await connection.fetchval(take, MEMBER_LOCKS, lease.writer):
        raise DatabaseInUse("the last session of this writer has not ended yet")


async def _last_member_batch(connection: Connection, lease: WriterLease) -> int:
    batch = "SELECT batch FROM infra_writers WHERE writer = $1 AND epoch = $2"
    found = await connection.fetchval(batch, lease.writer, lease.epoch)
    if found is None:
        raise WriterLost("another process has the number of this one")
    return int(found)


async def _last_batch(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('infra_writers')") is None:
        # A new database: the migrations come next.
        return 0
    # There is none in a copy that was just begun.
    last = "SELECT COALESCE(MAX(batch), 0) FROM infra_writers WHERE writer = $1"
    return int(await connection.fetchval(last, ALONE))
