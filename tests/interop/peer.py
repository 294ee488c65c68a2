"""A homeserver as a process of its own, whichever it is."""

import asyncio
import signal
from abc import abstractmethod
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from tests.interop.gate import Gate

# For a process to start or to end: Synapse makes its database meanwhile, and others may
# keep the machine busy.
PATIENCE_S: Final = 120


class Peer(Protocol):
    """A server to be started, stopped, and cut off from the others."""

    gate: Gate

    @property
    def server_name(self) -> str:
        """The part of its user IDs after the colon."""
        ...

    @property
    def url(self) -> str:
        """Where its clients reach it."""
        ...

    @abstractmethod
    async def start(self) -> None:
        """Start it, and wait until it listens."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop it as an operator does."""


class ServerProcess:
    """A process, and the log that it writes in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: Process | None = None

    @property
    def log(self) -> Path:
        """What it wrote, over all its starts."""
        return self.folder / "server.log"

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    async def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdout: int | None = None,
    ) -> Process:
        """Start the process."""
        assert not self.is_running
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.folder,
                env=environment,
                stdout=log if stdout is None else stdout,
                stderr=log,
            )
        return self._process

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and wait until it has; kill it if it does not."""
        process, self._process = self._process, None
        assert process is not None
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
