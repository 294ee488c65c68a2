"""``tremula serve``: the server, in the foreground."""

import asyncio
import contextlib
import gc
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from tremula import __version__
from tremula.cli.failures import (
    CommandFailed,
    ExitCode,
    database_failures,
    prepare_data_dir,
)
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.infra.config import Config, RegistrationMode, SqliteFile
from tremula.infra.together import GivenUp, Stopping, first_of

# With Python's own (700, 10, 10), the collector takes a tenth of the time in which 200
# waiting clients get a message: each brings objects that live for a poll.
_GC_THRESHOLDS: Final = (20_000, 20, 20)

# glibc gives back what is free at the end of its heap once that is twice the largest
# block that was ever freed. With its 256 KB, every file that passes through took its
# pages anew from the system: a third of what a download cost, a fifth of an upload.
_LARGEST_FREED_BYTES: Final = 2 * 1024 * 1024

_GRACE_S: Final = 30
"""How long what was asked may still take when the server stops."""

_REGISTRATION: Final = {
    RegistrationMode.OPEN: "open: whoever reaches the server can make an account",
    RegistrationMode.TOKEN: "with a token, made by: tremula token create",
    RegistrationMode.CLOSED: "closed; make users with: tremula user create NAME",
}


def serve(*, source: Source = DEFAULT_SOURCE) -> None:
    """Run the server until it gets SIGINT (Ctrl+C) or SIGTERM."""
    # What is made until the server listens stays to the end: the collector need not
    # look at it, neither now (a tenth of the time to the first answer) nor later.
    gc.disable()
    import uvloop

    from tremula.infra.logging import configure_logging

    config = source.load()
    prepare_data_dir(config.data_dir)
    configure_logging(config.logging.level, config.logging.format)
    _allow_many_connections()
    keep_freed_memory()
    with database_failures():
        uvloop.run(_serve(config, source.file))


async def _serve(config: Config, file: Path | None) -> None:
    from tremula.infra.db import WriterLost
    from tremula.infra.process import ProcessEnded

    stopping = Stopping()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.tell)
    while not stopping.told.is_set():
        # Again if the other processes took this one for dead: it goes on as a new one.
        with contextlib.suppress(ProcessEnded, WriterLost, GivenUp):
            config = await _serve_once(config, file, stopping)


async def _serve_once(config: Config, file: Path | None, stopping: Stopping) -> Config:
    """Serve until *stopping* is told, or this process has to begin anew.

    Returns the configuration with the ports that were free.

    Raises:
        GivenUp: *stopping* was told before there was anything to be served.
        ProcessEnded, WriterLost: the others took it for dead before it had begun.
    """
    from tremula.app import open_app
    from tremula.infra.http.errors import ListenError

    async with AsyncExitStack() as stack:
        async with stopping.given_up():
            # It may have to wait, for the database or for the other processes.
            server = await stack.enter_async_context(open_app(config))
        http = server.http_server()
        try:
            await http.listen(config.listeners)
        except ListenError as error:
            raise CommandFailed(str(error), ExitCode.ADDRESS) from error
        listeners = tuple(
            replace(listener, port=port)
            for listener, port in zip(config.listeners, http.ports, strict=True)
        )
        sys.stdout.write(announcement(config, http.ports, file))
        sys.stdout.flush()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()
        ended = server.process.ended
        await first_of(stopping.told, ended)
        if not ended.is_set():
            # Others take over while this one is still asked.
            await server.process.leave()
        await http.stop(grace_s=0 if ended.is_set() else _GRACE_S)
        return replace(config, listeners=listeners)


def announcement(config: Config, ports: Sequence[int], file: Path | None) -> str:
    """What an operator wants to know of a server that has just started."""
    assert config.registration.mode, "a loaded configuration has a mode"
    lines = [
        (
            "listening",
            f"{replace(listener, port=port).url} ({', '.join(listener.apis)})",
        )
        for listener, port in zip(config.listeners, ports, strict=True)
    ]
    lines += [
        ("registration", _REGISTRATION[config.registration.mode]),
        ("data", _where_data_lies(config)),
        ("configuration", str(file or "defaults, environment and options")),
    ]
    text = "".join(f"  {name:<14}{value}\n" for name, value in lines)
    return f"Tremula {__version__} serves {config.server_name}\n{text}"


def _where_data_lies(config: Config) -> str:
    if isinstance(config.database, SqliteFile):
        return str((config.data_dir / config.database.path).absolute())
    return f"PostgreSQL, and {config.data_dir.absolute()}"


def _allow_many_connections() -> None:
    """Every long poll is an open file: take as many as the system grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def keep_freed_memory() -> None:
    """Have up to 4 MB that are freed kept, for what needs them next."""
    bytes(_LARGEST_FREED_BYTES)
