"""The file of an SQLite database: who holds it, and how it is connected to."""

import fcntl
import os
from pathlib import Path
from typing import IO, Final

import apsw

from tremula.infra.db.errors import DatabaseInUse, DatabaseRefused

_STATEMENTS_CACHED: Final = 1_000
_CHECKPOINT_PAGES: Final = 4_000
_WAL_SIZE_MAX_BYTES: Final = 64 * 1024 * 1024


def take_lock(path: Path) -> IO[str]:
    """Hold the database at *path* until the lock is closed or the process ends.

    Raises:
        DatabaseInUse: another process has it.
        DatabaseRefused: the lock beside the file can't be written.
    """
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


def connect(path: Path, *, cache_kib: int, query_only: bool = False) -> apsw.Connection:
    """Open or create the file at *path*, whose lock this process holds."""
    connection = apsw.Connection(str(path), statementcachesize=_STATEMENTS_CACHED)
    # Only our own process can hold SQLite's locks, and only for a moment.
    connection.set_busy_timeout(5_000)
    # A plan stays as it was made: else SQLite prepares many statements anew for each
    # value they are bound to (any that sorts, or whose table has a partial index),
    # which costs ten times what running them does.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("journal_mode", "wal")
    # Acknowledged means fsynced: FULL syncs the WAL with every commit.
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", _WAL_SIZE_MAX_BYTES)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "memory")
    connection.pragma("query_only", query_only)
    return connection
