"""Tremula with a TLS listener for the other servers."""

import os
import re
import signal
import sys
from asyncio import StreamReader, timeout
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final

import orjson

from tests.interop.gate import Gate
from tests.interop.peer import PATIENCE_S, ServerProcess
from tests.interop.trust import Trust

_HOST: Final = "127.0.0.1"
_LISTENING: Final = re.compile(r" +listening +https?://\S+:([0-9]+) \((\w+)\)")
# What must never stand in a log: failures, and coroutines that nobody awaited.
_COMPLAINT: Final = re.compile(r"Traceback|Warning:|\[(error|critical) *\]")


class TremulaPeer:
    """Implements `Peer`. Its server name is an IP address with a port.

    *database* is a file in its folder unless given.
    """

    def __init__(
        self, folder: Path, trust: Trust, gate: Gate, database: str | None = None
    ) -> None:
        folder.mkdir()
        self.gate = gate
        self._process = ServerProcess(folder)
        self._trust = trust
        self._files = trust.issue(folder.name, _HOST)
        self._database = {"TREMULA_DATABASE": database} if database else {}
        self._client_port = 0

    @property
    def server_name(self) -> str:
        """The part of its user IDs after the colon."""
        return f"{_HOST}:{self.gate.port}"

    @property
    def database_file(self) -> Path:
        """Its database, unless it was given another."""
        return self._process.folder / "tremula.db"

    @property
    def url(self) -> str:
        """Where its clients reach it."""
        return f"http://{_HOST}:{self._client_port}"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        process = await self._process.run(
            (sys.executable, "-m", "tremula", "serve"),
            _environment() | self._settings(),
            stdout=PIPE,
        )
        assert process.stdout
        async with timeout(PATIENCE_S):
            self._client_port = await self._announced_port(process.stdout, "client")
            self.gate.target_port = await self._announced_port(
                process.stdout, "federation"
            )

    async def stop(self) -> None:
        """Stop it as an operator does; it has to end well."""
        assert await self._process.end() == 0, self._process.log.read_text()

    async def kill(self) -> None:
        """Crash: not one instruction more is run."""
        assert await self._process.end(signal.SIGKILL) == -signal.SIGKILL

    async def clean_up(self) -> None:
        """End the process, if any is left, whatever it did."""
        if self._process.is_running:
            await self._process.end()

    def assert_without_complaints(self) -> None:
        """Fail if any of the processes logged a failure."""
        log = self._process.log.read_text()
        assert not _COMPLAINT.search(log), log

    def _settings(self) -> dict[str, str]:
        tls = {
            "certificate": str(self._files.certificate),
            "key": str(self._files.key),
        }
        listeners = [
            {"address": _HOST, "port": self._client_port, "apis": ["client"]},
            {"address": _HOST, "port": 0, "apis": ["federation"], "tls": tls},
        ]
        return {
            "TREMULA_SERVER_NAME": self.server_name,
            "TREMULA_DATA_DIR": str(self._process.folder),
            "TREMULA_LISTENERS": _toml(listeners),
            "TREMULA_OUTBOUND__TRUSTED_CA_FILE": str(self._trust.authority_file),
            "TREMULA_OUTBOUND__ALLOWED_PRIVATE_RANGES": _toml(
                ["127.0.0.0/8", "::1/128"]
            ),
            "TREMULA_RATE_LIMITS__ENABLED": "false",
            "TREMULA_PASSWORD_HASHING__TIME_COST": "1",
            "TREMULA_PASSWORD_HASHING__MEMORY_KIB": "8",
            **self._database,
        }

    async def _announced_port(self, output: StreamReader, api: str) -> int:
        async for line in output:
            match = _LISTENING.match(line.decode())
            if match and match[2] == api:
                return int(match[1])
        raise AssertionError(f"it did not start: {self._process.log.read_text()}")


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TREMULA_")
    }


def _toml(value: object) -> str:
    """Lists and inline tables of strings and numbers."""
    match value:
        case dict():
            pairs = (f"{key} = {_toml(each)}" for key, each in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case list():
            return f"[{', '.join(_toml(each) for each in value)}]"
        case _:
            return orjson.dumps(value).decode()
