"""``tremula database``: from one database to another."""

import asyncio
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from tremula.cli.failures import CommandFailed, ExitCode, prepare_data_dir
from tremula.cli.offline import offline_failures
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.infra.config import (
    Config,
    ConfigError,
    PostgresUrl,
    SqliteFile,
    parse_database,
)

if TYPE_CHECKING:
    from tremula.infra.db.copying import Progress

app = App("database")


@app.command
def copy(
    *,
    from_: Annotated[str, Parameter(name="--from")],
    to: str,
    source: Source = DEFAULT_SOURCE,
) -> None:
    """Copy a whole server to a new database, and compare the two. Stop it first.

    A copy that was stopped goes on where it was when the same command is run again;
    until it is complete, no server starts on it. The old database is only read.

    Args:
        from_: The database of the server, as `database` names it.
        to: An empty one, of either engine.
    """
    from tremula.infra.db.copying import copy_database

    config = source.load()
    read, written = _located(from_, "--from", config), _located(to, "--to", config)
    if isinstance(written, SqliteFile):
        prepare_data_dir(written.path.parent)
    try:
        with offline_failures(), _display() as progress:
            asyncio.run(copy_database(read, written, progress))
    except KeyboardInterrupt:
        raise CommandFailed(
            "stopped; run the command again to go on", ExitCode.COPY_UNFINISHED
        ) from None
    sys.stdout.write("The copy is complete: let `database` name it, and start.\n")


def _located(text: str, option: str, config: Config) -> SqliteFile | PostgresUrl:
    """Where the database is; a file's path is taken from the data directory."""
    try:
        database = parse_database(text, option)
    except ConfigError as error:
        raise CommandFailed(str(error), ExitCode.CONFIG) from error
    if isinstance(database, SqliteFile):
        return SqliteFile(config.data_dir / database.path)
    return database


def _display() -> "AbstractContextManager[Progress]":
    """A bar for people, lines for logs."""
    from tremula.cli.copy_progress import Bar, Lines

    return Bar() if sys.stdout.isatty() else Lines()
