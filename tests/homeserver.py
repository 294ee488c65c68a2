"""`tremula serve` as a process of its own, to be talked to over sockets and killed."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.server import SERVER_NAME
from tremula.infra.config import PostgresUrl, SqliteFile

# What a busy machine takes.
PATIENCE_S: Final = 60

_SETTINGS: Final = {
    "TREMULA_RATE_LIMITS__ENABLED": "false",
    "TREMULA_PASSWORD_HASHING__TIME_COST": "1",
    "TREMULA_PASSWORD_HASHING__MEMORY_KIB": "8",
    "TREMULA_MEDIA__UPLOAD_BYTES_MAX": "2147483648",
}
_LISTENING: Final = re.compile(r" +listening +http://[^: ]+:([0-9]+) ")
# What must never stand in a log: failures, and coroutines that nobody awaited.
_COMPLAINT: Final = re.compile(r"Traceback|Warning:|\[(error|critical) *\]")


class Homeserver:
    """One server after the other over the same database, at the same address.

    *folder* is made for what they write beside the database. With a bus it is one of
    several processes. *prefix* is a command that runs it somewhere else, where it
    listens on *host*. *settings* are variables as of an operator.
    """

    def __init__(
        self,
        folder: Path,
        database: SqliteFile | PostgresUrl,
        bus_url: str | None = None,
        prefix: Sequence[str] = (),
        host: str = "127.0.0.1",
        *,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._database = (
            f"sqlite:{database.path}"
            if isinstance(database, SqliteFile)
            else database.url
        )
        self._bus = () if bus_url is None else ("--bus", bus_url)
        self._prefix = prefix
        self._host = host
        self._settings = settings
        self._port = 0
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, now or after the next start."""
        return f"http://{self._host}:{self._port}"

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.returncode is not None

    @property
    def folder(self) -> Path:
        """What it writes beside the database."""
        return self._folder

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory that it has had since its start."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        kilobytes = re.search(r"VmHWM:\s*([0-9]+) kB", status)
        assert kilobytes is not None
        return int(kilobytes[1]) * 1024

    async def start(self) -> None:
        """Start, and wait until it listens."""
        assert self._process is None
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._prefix,
                *(sys.executable, "-m", "tremula", "serve"),
                *("--server-name", SERVER_NAME, "--data-dir", str(self._folder)),
                *("--database", self._database, *self._bus),
                *("--listen", f"{self._host}:{self._port}"),
                cwd=self._folder,
                env={**_environment(), **self._settings},
                stdout=PIPE,
                stderr=log,
            )
        async with asyncio.timeout(PATIENCE_S):
            self._port = await self._announced_port(self._process)

    async def stop(self) -> None:
        """Stop as an operator does; it has to end well."""
        assert await self._end(signal.SIGTERM) == 0, self._log.read_text()

    async def kill(self) -> None:
        """Crash: not one instruction more is run."""
        assert await self._end(signal.SIGKILL) == -signal.SIGKILL

    def pause(self) -> None:
        """Have it stand still, as a machine does that is short of memory."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def reap(self) -> int:
        """Take note that it has ended by itself; its exit code."""
        assert self.has_ended
        return await self._end(signal.SIGKILL)

    async def clean_up(self) -> None:
        """End the process, if any is left, whatever it did."""
        if self.is_running:
            await self._end(signal.SIGKILL)

    def assert_without_complaints(self) -> None:
        """Fail if any of the processes logged a failure."""
        log = self._log.read_text()
        assert not _COMPLAINT.search(log), log

    @property
    def complaints(self) -> list[str]:
        """The lines of the log that say that something has failed."""
        lines = self._log.read_text().splitlines()
        return [line for line in lines if _COMPLAINT.search(line)]

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _announced_port(self, process: Process) -> int:
        assert process.stdout
        async for line in process.stdout:
            if match := _LISTENING.match(line.decode()):
                return int(match[1])
        raise AssertionError(f"it did not start: {self._log.read_text()}")


@asynccontextmanager
async def running_homeserver(
    folder: Path,
    database: SqliteFile | PostgresUrl,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncGenerator[Homeserver]:
    """Start a server; at the end stop it, unless it was, and read its log."""
    homeserver = Homeserver(folder, database, settings=settings)
    try:
        await homeserver.start()
        yield homeserver
        if homeserver.is_running:
            await homeserver.stop()
        homeserver.assert_without_complaints()
    finally:
        await homeserver.clean_up()


def _environment() -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TREMULA_")
    }
    return {**inherited, **_SETTINGS}
