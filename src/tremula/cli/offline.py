"""Runs a command on the database of a server that is not running."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tremula.cli.failures import (
    CommandFailed,
    ExitCode,
    database_failures,
    prepare_data_dir,
)
from tremula.infra.config import Config
from tremula.protocol.errors import MatrixError

if TYPE_CHECKING:
    from tremula.app import Tremula


def run_offline(config: Config, work: Callable[["Tremula"], Awaitable[None]]) -> None:
    """Open the database, do *work* with the server's services, close it.

    Raises:
        CommandFailed: the database can't be opened, or the services refuse.
    """
    prepare_data_dir(config.data_dir)
    try:
        with offline_failures():
            asyncio.run(_run(config, work))
    except MatrixError as error:
        raise CommandFailed(error.message, ExitCode.REFUSED) from error


@contextmanager
def offline_failures() -> Iterator[None]:
    """Like `database_failures`, where a server that runs is in the way."""
    try:
        with database_failures():
            yield
    except CommandFailed as failure:
        if failure.exit_code is not ExitCode.DATABASE_IN_USE:
            raise
        raise CommandFailed(
            f"{failure}; stop the server first, and start it again afterwards",
            ExitCode.DATABASE_IN_USE,
        ) from failure


async def _run(config: Config, work: Callable[["Tremula"], Awaitable[None]]) -> None:
    from tremula.app import open_app

    async with open_app(config) as server:
        await work(server)
