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
from typing import Final, Protocol

from bench.client import Addresses
from bench.processes import POSTGRES, SERVER, Processes
from tests.interop.trust import CertificateFiles
from tests.postgres_server import PostgresServer, free_port
from tremula.protocol.identifiers import ServerName

HOST: Final = "127.0.0.1"
LONELY: Final = ServerName("bench.test")
"""The name of a server that no other reaches."""

STARTS: Final = 3
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
class FederationAddress:
    """Where other servers reach one, over TLS, and which authority it trusts."""

    port: int
    files: CertificateFiles
    authority: Path

    @property
    def server_name(self) -> ServerName:
        """An IP address with a port: nothing is to be discovered."""
        return ServerName(f"{HOST}:{self.port}")


class Holders(Protocol):
    """Knows which process of a server does what there is to do in a room."""

    async def url_of(self, room_id: str) -> str:
        """Where that process answers."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``startup_s`` is until its first answer, schema in place.

    ``holders`` is None where any process may write to any room, or there is one.
    """

    name: str
    server_name: ServerName
    addresses: Addresses
    processes: Processes
    startup_s: float
    holders: Holders | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started, to answer at ``port``; its log is in ``folder``."""

    name: str
    server_name: ServerName
    command: Sequence[str]
    folder: Path
    port: int
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where it will answer."""
        return f"http://{HOST}:{self.port}"


def tremula(
    name: str,
    folder: Path,
    postgres: PostgresServer | None,
    federation: FederationAddress | None = None,
    *,
    bus_url: str = "",
) -> Program:
    """Tremula, called *name*, on SQLite in *folder*, or on *postgres*; with a bus it is
    one process of several.
    """
    port = free_port()
    server_name = federation.server_name if federation else LONELY
    return Program(
        name=name,
        server_name=server_name,
        command=(
            *(sys.executable, "-m", "tremula", "serve"),
            *("--server-name", server_name, "--data-dir", str(folder)),
            "--database",
            postgres.url("postgres") if postgres else "sqlite:tremula.db",
            *(("--bus", bus_url) if bus_url else ()),
        ),
        folder=folder,
        port=port,
        environment=_SETTINGS | _listeners(port, federation),
    )


@contextmanager
def running(
    program: Program, postgres: PostgresServer | None, *, starts: int = STARTS
) -> Iterator[Server]:
    """Start it, after *starts* of which the first makes the schema and the others show
    how long it takes.

    Raises:
        NotStarted: it ended, or did not answer.
    """
    startups_s = []
    for _ in range(starts):
        with started(program) as (_, startup_s):
            startups_s.append(startup_s)
    with started(program) as (pid, startup_s):
        startups_s.append(startup_s)
        roots = {SERVER: (pid,)} | ({POSTGRES: (postgres.pid,)} if postgres else {})
        yield Server(
            program.name,
            program.server_name,
            Addresses([program.url]),
            Processes(roots),
            statistics.median(startups_s[1:] or startups_s),
        )


@contextmanager
def started(program: Program) -> Iterator[tuple[int, float]]:
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


def _listeners(port: int, federation: FederationAddress | None) -> dict[str, str]:
    clients = f'{{ address = "{HOST}", port = {port}, apis = ["client"] }}'
    if federation is None:
        return {"TREMULA_LISTENERS": f"[{clients}]"}
    files = federation.files
    tls = f'{{ certificate = "{files.certificate}", key = "{files.key}" }}'
    others = (
        f'{{ address = "{HOST}", port = {federation.port},'
        f' apis = ["federation"], tls = {tls} }}'
    )
    return {
        "TREMULA_LISTENERS": f"[{clients}, {others}]",
        "TREMULA_OUTBOUND__TRUSTED_CA_FILE": str(federation.authority),
        "TREMULA_OUTBOUND__ALLOWED_PRIVATE_RANGES": f'["{HOST}/32"]',
    }


def _inherited() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TREMULA_", "SYNAPSE_"))
    }
