"""A program that runs beside the tests: it is read, told things, ended and killed."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

# For whatever a program does next; the machine may be busy with others.
PATIENCE_S: Final = 60
_LINE_BYTES_MAX: Final = 1 << 20

Json = dict[str, Any]


class Program:
    """One process after the other of one command; each adds to the file *log*."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._command = command
        self._log = log
        self._settings = settings
        self._process: Process | None = None
        self._reading: asyncio.Future[None] | None = None
        # What this process has said, and how much of it was looked at.
        self._lines: list[str] = []
        self._next = 0
        self._is_silent = True
        self._news = asyncio.Condition()

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    async def start(self) -> None:
        """Start it."""
        assert self._process is None
        self._lines, self._next, self._is_silent = [], 0, False
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._settings},
            cwd=self._log.parent,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            limit=_LINE_BYTES_MAX,
        )
        self._reading = asyncio.ensure_future(self._read(self._process))

    async def says(self, text: str) -> str:
        """The next line that contains *text*; those before it are skipped."""
        while True:
            line = await self._line()
            if text in line:
                return line

    async def tell(self, **command: object) -> None:
        """Give it a command: an object of JSON on a line."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(orjson.dumps(command) + b"\n")
        await self._process.stdin.drain()

    async def told(self, **fields: object) -> Json:
        """The next object of JSON with these *fields*; what comes before is skipped."""
        while True:
            line = await self._line()
            if not line.startswith("{"):
                continue
            told: Json = orjson.loads(line)
            if fields.items() <= told.items():
                return told

    def said(self, text: str) -> bool:
        """Whether it has said a line with *text*, since it was started."""
        return any(text in line for line in self._lines)

    async def has_said(self, text: str) -> None:
        """Wait until it has said a line with *text*, since it was started."""
        await self._until(lambda: self.said(text))

    async def has_told(self, **fields: object) -> None:
        """Wait until it has told an object of JSON with these *fields*."""
        await self._until(lambda: bool(self.all_told(**fields)))

    async def has_told_all(self, count: int, **fields: object) -> None:
        """Wait until it has told *count* of them."""
        await self._until(lambda: len(self.all_told(**fields)) >= count)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: is_so() or self._is_silent)
        assert is_so(), f"it has ended:\n{self._log.read_text()}"

    def all_told(self, **fields: object) -> list[Json]:
        """All objects of JSON with these *fields* that it has printed."""
        told = [orjson.loads(line) for line in self._lines if line.startswith("{")]
        return [each for each in told if fields.items() <= each.items()]

    async def stop(self) -> None:
        """End it as an operator does."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Crash: not one instruction more is run."""
        await self._end(signal.SIGKILL)

    async def clean_up(self) -> None:
        """End the process, if any is left."""
        if self.is_running:
            await self.kill()

    async def _line(self) -> str:
        """The next line that was not looked at."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self._has_more or self._is_silent)
            assert self._has_more, f"it has ended:\n{self._log.read_text()}"
            self._next += 1
            return self._lines[self._next - 1]

    @property
    def _has_more(self) -> bool:
        return self._next < len(self._lines)

    async def _read(self, process: Process) -> None:
        assert process.stdout
        with self._log.open("ab", buffering=0) as log:
            async for line in process.stdout:
                log.write(line)
                async with self._news:
                    self._lines.append(line.decode().rstrip("\n"))
                    self._news.notify_all()
        async with self._news:
            self._is_silent = True
            self._news.notify_all()

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process
        assert self._reading
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()
                await self._reading
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
