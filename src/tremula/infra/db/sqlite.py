"""SQLite: one file, one process."""

import asyncio
import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, LiteralString

import apsw
from prometheus_client import CollectorRegistry

from tremula.infra.db.database import Settled, commit_through
from tremula.infra.db.errors import DatabaseInUse, DatabaseRefused
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.params import sqlite_text
from tremula.infra.db.reader import Engine, Row
from tremula.infra.db.sqlite_errors import translated
from tremula.infra.db.sqlite_writer import SqliteWriter
from tremula.infra.db.unit import Params, Unit

_STATEMENTS_CACHED: Final = 1_000
_READ_CACHE_KIB: Final = 8 * 1024
_WRITE_CACHE_KIB: Final = 16 * 1024
_CHECKPOINT_PAGES: Final = 4_000
_WAL_SIZE_MAX_BYTES: Final = 64 * 1024 * 1024


class SqliteDatabase:
    """Implements ``Database`` over three connections to one file.

    Short reads run on the event loop on a connection of their own, so that they never
    wait for the writer (WAL). ``scan`` has a thread and the third connection. The file
    is held by a lock on ``<file>.lock``, because the writer keeps in memory what no
    other process may change.
    """

    engine = Engine.SQLITE

    def __init__(self, path: Path, lock: IO[str], metrics: WriterMetrics) -> None:
        self._lock = lock
        self._write_connection = _connect(path, cache_kib=_WRITE_CACHE_KIB)
        self._connection = _connect(path, cache_kib=_READ_CACHE_KIB, query_only=True)
        self._cursor = self._connection.cursor()
        self._scanner = ThreadPoolExecutor(1, thread_name_prefix="sqlite-scan")
        self._scan_connection = _connect(
            path, cache_kib=_READ_CACHE_KIB, query_only=True
        )
        self._writer = SqliteWriter(
            self._write_connection, asyncio.get_running_loop(), metrics
        )

    @classmethod
    def open(cls, path: Path, registry: CollectorRegistry | None) -> "SqliteDatabase":
        """Open or create the file; must be called on the running event loop.

        Raises:
            DatabaseInUse: another process has it.
            DatabaseRefused: it can't be written, or is no SQLite database.
        """
        lock = _take_lock(path)
        try:
            return cls(path, lock, WriterMetrics.registered(registry))
        except apsw.Error as error:
            lock.close()
            raise DatabaseRefused(f"can't open {path}: {error}") from error

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.all``."""
        return _fetch(self._cursor, sql, params)

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """See ``Reader.first``."""
        rows = _fetch(self._cursor, sql, params)
        return rows[0] if rows else None

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.scan``."""
        return await asyncio.get_running_loop().run_in_executor(
            self._scanner, _fetch, self._scan_connection.cursor(), sql, params
        )

    def submit(self, unit: Unit, settled: Settled) -> None:
        """See ``Database.submit``."""
        self._writer.submit(unit, settled)

    async def commit(self, unit: Unit) -> None:
        """See ``Database.commit``."""
        await commit_through(self.submit, unit)

    async def run_script(self, script: str) -> None:
        """See ``Migratable.run_script``."""
        with self._write_connection:
            self._write_connection.execute(script)

    async def close(self) -> None:
        """See ``Database.close``."""
        await self._writer.close()
        self._scanner.shutdown(wait=True)
        for connection in (
            self._scan_connection,
            self._connection,
            self._write_connection,
        ):
            connection.close()
        self._lock.close()


def _fetch(cursor: apsw.Cursor, sql: str, params: Params) -> list[Row]:
    text = sqlite_text(sql)
    try:
        rows: Sequence[Any] = cursor.execute(text.sql, text.bind(params)).fetchall()
    except (apsw.Error, OverflowError, UnicodeEncodeError) as error:
        known = translated(error)
        if known is error:
            raise
        raise known from error
    return list(rows)


def _connect(
    path: Path, *, cache_kib: int, query_only: bool = False
) -> apsw.Connection:
    connection = apsw.Connection(str(path), statementcachesize=_STATEMENTS_CACHED)
    # Only our own process can hold SQLite's locks, and only for a moment.
    connection.set_busy_timeout(5_000)
    connection.pragma("journal_mode", "wal")
    # Acknowledged means fsynced: FULL syncs the WAL with every commit.
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", _WAL_SIZE_MAX_BYTES)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "memory")
    connection.pragma("query_only", query_only)
    return connection


def _take_lock(path: Path) -> IO[str]:
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = lock_path.open("a+", encoding="ascii")
    except OSError as error:
        raise DatabaseRefused(f"can't write {lock_path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise DatabaseInUse(f"{path} is in use by process {holder}") from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
