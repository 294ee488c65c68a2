"""Starting Tremula as a user would, but for limits and the cost of passwords."""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import POSTGRES, SERVER, Processes
from tests.postgres_server import PostgresServer, free_port

_STARTS: Final = 3
_PATIENCE_S: Final = 120
_POLL_S: Final = 0.005
# Thousands of users are made, one after the other, from one address.
_SETTINGS: Final = {
    "TREMULA_RATE_LIMITS__ENABLED": "false",
    "TREMULA_PASSWORD_HASHING__TIME_COST": "1",
    "TREMULA_PASSWORD_HASHING__MEMORY_KIB": "8",
}


class NotStarted(Exception):
    """A server that did not come up."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``startup_s`` is until its first answer, schema in place."""

    name: str
    url: str
    processes: Processes
    startup_s: float


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started, to answer at ``port``; its log is in ``folder``."""

    name: str
    command: Sequence[str]
    folder: Path
    port: int
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where it will answer."""
        return f"http://127.0.0.1:{self.port}"


def tremula(folder: Path, postgres: PostgresServer | None) -> Program:
    """Tremula on SQLite in *folder*, or on *postgres*."""
    port = free_port()
    engine = "PostgreSQL" if postgres else "SQLite"
    database = postgres.url("postgres") if postgres else "sqlite:tremula.db"
    return Program(
        name=f"Tremula, {engine}",
        command=(
            *(sys.executable, "-m", "tremula", "serve"),
            *("--server-name", "bench.test", "--data-dir", str(folder)),
            *("--database", database, "--listen", f"127.0.0.1:{port}"),
        ),
        folder=folder,
        port=port,
        environment=_SETTINGS,
    )


@contextmanager
def running(program: Program, postgres: PostgresServer | None) -> Iterator[Server]:
    """Start once to make the schema, then a few times to see how long it takes.

    Raises:
        NotStarted: it ended, or did not answer.
    """
    with _started(program):
        pass
    startups_s = []
    for _ in range(_STARTS - 1):
        with _started(program) as (_, startup_s):
            startups_s.append(startup_s)
    with _started(program) as (pid, startup_s):
        startups_s.append(startup_s)
        roots = {SERVER: pid} | ({POSTGRES: postgres.pid} if postgres else {})
        yield Server(
            program.name,
            program.url,
            Processes(roots),
            statistics.median(startups_s),
        )


@contextmanager
def _started(program: Program) -> Iterator[tuple[int, float]]:
    """The process id, and the seconds until the first answer."""
    log_path = program.folder / "server.log"
    began_s = time.perf_counter()
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            program.command,
            cwd=program.folder,
            env={**_inherited(), **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for_answer(program, process)
        yield process.pid, time.perf_counter() - began_s
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _wait_for_answer(program: Program, process: subprocess.Popen[bytes]) -> None:
    url = f"{program.url}/_matrix/client/versions"
    deadline_s = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE_S):
                return
        except OSError:
            time.sleep(_POLL_S)
    log = (program.folder / "server.log").read_text(errors="replace")
    raise NotStarted(f"{program.name} did not answer:\n{log[-3000:]}")


def _inherited() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TREMULA_", "SYNAPSE_"))
    }
