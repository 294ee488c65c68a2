"""The machine under the server: its disk and its database."""

import os
import shutil
from pathlib import Path
from typing import Final

from tremula.cli.doctor.finding import Finding, note, ok, wrong
from tremula.infra.config import PostgresUrl, SqliteFile
from tremula.infra.db import DatabaseRefused, DatabaseUnavailable
from tremula.infra.db.inspection import Condition, inspect_database

_GIB: Final = 1024**3


def examine_data_dir(data_dir: Path, *, free_bytes_min: int = _GIB) -> Finding:
    """Whether the server can go on writing there for a while."""
    subject = "data directory"
    if not data_dir.is_dir():
        return note(subject, f"{data_dir} is not there; the first start makes it")
    if not os.access(data_dir, os.W_OK | os.X_OK):
        return wrong(
            subject, f"{data_dir} can't be written to", "run this as the server's user"
        )
    free_bytes = shutil.disk_usage(data_dir).free
    free = f"{data_dir} has {free_bytes / _GIB:.1f} GiB left"
    if free_bytes < free_bytes_min:
        return wrong(subject, free, "a server that can't write stops; make room")
    return ok(subject, free)


async def examine_database(
    source: SqliteFile | PostgresUrl, server_name: str
) -> Finding:
    """Whether it can be read, and is that of this server and program."""
    subject = "database"
    try:
        found = await inspect_database(source)
    except DatabaseUnavailable as error:
        return wrong(subject, str(error), "start it, or correct `database`")
    except DatabaseRefused as error:
        return wrong(subject, str(error), "correct `database`, or its permissions")
    return _judge_database(found, server_name)


def _judge_database(found: Condition, server_name: str) -> Finding:
    subject = "database"
    if found.is_unfinished_copy:
        return wrong(
            subject, "it is an unfinished copy", "run `tremula database copy` again"
        )
    if found.server_name is None:
        return note(subject, f"{found.engine}, empty; the first start fills it")
    if found.server_name != server_name:
        return wrong(
            subject,
            f"it belongs to the server {found.server_name}",
            "a server_name can't change; correct it, or begin with an empty database",
        )
    if found.unknown_migrations:
        return wrong(
            subject, "a newer Tremula has changed it", "run that version or a newer one"
        )
    if found.pending_migrations:
        return note(subject, f"{found.engine}; the next start brings it up to date")
    return ok(subject, found.engine)
