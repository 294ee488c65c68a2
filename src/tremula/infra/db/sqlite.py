"""SQLite: one file, one process."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, LiteralString

import apsw
from prometheus_client import CollectorRegistry

from tremula.infra.db.database import Settled, commit_through
from tremula.infra.db.errors import DatabaseRefused
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.params import SqliteText, sqlite_text
from tremula.infra.db.reader import Engine, Row
from tremula.infra.db.sqlite_errors import translated
from tremula.infra.db.sqlite_file import connect, take_lock
from tremula.infra.db.sqlite_writer import SqliteWriter
from tremula.infra.db.unit import Params, Unit

# A commit empties it.
_READ_CACHE_KIB: Final = 2 * 1024
_SCAN_CACHE_KIB: Final = 8 * 1024
_WRITE_CACHE_KIB: Final = 16 * 1024


class SqliteDatabase:
    """Implements ``Database`` over three connections to one file.

    Short reads run on the event loop and never wait for the writer (WAL): on its own
    connection while it has nothing under way, for it knows the newest pages, and else
    on another, whose cache is worth nothing after each commit (17 system calls for a
    key's owner). ``scan`` has a thread and the third connection. The file is held by a
    lock on ``<file>.lock``, because the writer keeps in memory what no other process
    may change.
    """

    engine = Engine.SQLITE

    def __init__(self, path: Path, lock: IO[str], metrics: WriterMetrics) -> None:
        self._lock = lock
        self._write_connection = connect(path, cache_kib=_WRITE_CACHE_KIB)
        self._connection = connect(path, cache_kib=_READ_CACHE_KIB, query_only=True)
        self._cursor = self._connection.cursor()
        self._scanner = ThreadPoolExecutor(1, thread_name_prefix="sqlite-scan")
        self._scan_connection = connect(
            path, cache_kib=_SCAN_CACHE_KIB, query_only=True
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
        lock = take_lock(path)
        try:
            return cls(path, lock, WriterMetrics.registered(registry))
        except apsw.Error as error:
            lock.close()
            raise DatabaseRefused(f"can't open {path}: {error}") from error

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.all``."""
        return self._read(sql, params)

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """See ``Reader.first``."""
        rows = self._read(sql, params)
        return rows[0] if rows else None

    def _read(self, sql: str, params: Params) -> list[Row]:
        text = sqlite_text(sql)
        idle = self._writer.idle_cursor
        # What is no query is refused by the connection for reading.
        cursor = idle if idle is not None and text.is_query else self._cursor
        return _fetch(cursor, text, params)

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """See ``Reader.scan``."""
        return await asyncio.get_running_loop().run_in_executor(
            self._scanner,
            _fetch,
            self._scan_connection.cursor(),
            sqlite_text(sql),
            params,
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


def _fetch(cursor: apsw.Cursor, text: SqliteText, params: Params) -> list[Row]:
    try:
        rows: Sequence[Any] = cursor.execute(text.sql, text.bind(params)).fetchall()
    except (apsw.Error, OverflowError, UnicodeEncodeError) as error:
        known = translated(error)
        if known is error:
            raise
        raise known from error
    return list(rows)
