"""heisenbridge, an IRC bridge that acts for one user."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bridges.environments import public
from tests.bridges.program import Program
from tests.interop.gate import Gate
from tests.postgres_server import free_port

_READY: Final = "bridge is now running"


@dataclass(frozen=True, slots=True)
class Heisenbridge:
    """The bridge; the homeserver reaches it through *gate*."""

    folder: Path
    gate: Gate

    @property
    def registration(self) -> Path:
        """The file that the homeserver is to load."""
        return self.folder / "heisenbridge.yaml"

    async def generate(self) -> None:
        """Have it write its registration."""
        self.folder.mkdir()
        self.gate.target_port = free_port()
        arguments = ("--generate", "--listen-port", str(self.gate.port))
        program = self._program(*arguments, log="generate.log")
        await program.start()
        await program.says("Registration file generated")
        await program.stop()

    def program(self, homeserver_url: str, owner: str) -> Program:
        """The bridge itself, to be started."""
        port = str(self.gate.target_port)
        return self._program(
            *("--listen-port", port, "--owner", owner, "--verbose", homeserver_url),
            log="heisenbridge.log",
        )

    def _program(self, *arguments: str, log: str) -> Program:
        command: tuple[str | Path, ...] = (
            public("heisenbridge"),
            "--config",
            self.registration,
            *arguments,
        )
        return Program(command, self.folder / log)


async def start(bridge: Program) -> None:
    """Start it, and wait until it has loaded its rooms."""
    await bridge.start()
    await bridge.says(_READY)
