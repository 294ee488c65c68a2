"""The operator's own look at what comes in, before anybody is served it."""

import asyncio
import http.client
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import structlog
from msgspec import Struct

from tremula.infra.config import Media as MediaConfig
from tremula.infra.programs import start_program
from tremula.protocol.errors import Forbidden, Unknown

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 120
_SILENCE_S: Final = 60
_AT_ONCE: Final = 4
_SAID_BYTES_MAX: Final = 2000
_BLOCK_BYTES: Final = 262_144


class Verdict(Enum):
    """How a scan has ended."""

    CLEAN = auto()
    REFUSED = auto()
    FAILED = auto()


class Answer(Struct, frozen=True):
    """What a scan came to, and what the scanner said of it."""

    verdict: Verdict
    said: str = ""


class Scan(Protocol):
    """One way of looking at a file."""

    async def look(self, file: Path) -> Answer:
        """What is to be thought of *file*. Takes two minutes at most."""
        ...


class Scanner(Struct, frozen=True):
    """Asks all *scans*. What one of them can't judge is not taken in."""

    scans: Sequence[Scan]
    at_once: asyncio.Semaphore

    async def check(self, file: str) -> None:
        """Refuse *file*, or not.

        Raises:
            Forbidden: a scanner does.
            Unknown: (503) one could not say.
        """
        for scan in self.scans:
            async with self.at_once:
                answer = await scan.look(Path(file))
            if answer.verdict is Verdict.REFUSED:
                log.warning("media_refused_by_scanner", said=answer.said)
                raise Forbidden("the file was refused by a scanner")
            if answer.verdict is Verdict.FAILED:
                log.error("media_scanner_failed", said=answer.said)
                raise Unknown("files can't be scanned now", status=503)


class CommandScan(Struct, frozen=True):
    """Runs *command* with the file's path behind it, as ``clamdscan --fdpass`` is run.

    Its exit code says what follows: 0 takes the file in, 1 refuses it. Any other is a
    failure, and so is no answer in time.
    """

    command: tuple[str, ...]

    async def look(self, file: Path) -> Answer:
        """Implements `Scan`."""
        try:
            program = await start_program([*self.command, str(file)])
        except OSError as error:
            return Answer(Verdict.FAILED, str(error))
        try:
            # It is asked by its arguments.
            program.stdin.close()
            async with asyncio.timeout(_TIMEOUT_S):
                said = await program.stdout.read(_SAID_BYTES_MAX)
                # What else it has to say must not keep it from its end.
                while await program.stdout.read(_SAID_BYTES_MAX):
                    pass
                code = await program.wait()
        except TimeoutError:
            return Answer(Verdict.FAILED, "no answer in time")
        finally:
            await program.end()
        return Answer(_EXIT_CODES.get(code, Verdict.FAILED), _readable(said))


_EXIT_CODES: Final = {0: Verdict.CLEAN, 1: Verdict.REFUSED}


class HttpScan(Struct, frozen=True):
    """Posts the file's bytes to *url*: 2xx takes the file in, 4xx refuses it.

    Any other status is a failure, and so is no answer. The URL is the operator's, so it
    may be anywhere; redirects are not followed. In a thread, as a file is sent from
    where it lies, which is not in memory.
    """

    url: str

    async def look(self, file: Path) -> Answer:
        """Implements `Scan`."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await asyncio.to_thread(_post, self.url, file)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(error) or "no answer in time"
            return Answer(Verdict.FAILED, f"{type(error).__name__}: {reason}")


def _post(url: str, file: Path) -> Answer:
    address = urlsplit(url)
    assert address.hostname is not None
    kind = (
        http.client.HTTPSConnection
        if address.scheme == "https"
        else http.client.HTTPConnection
    )
    connection = kind(
        address.hostname, address.port, timeout=_SILENCE_S, blocksize=_BLOCK_BYTES
    )
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(file.stat().st_size),
    }
    try:
        with file.open("rb") as body:
            connection.request("POST", target, body, headers)
        response = connection.getresponse()
        said = _readable(response.read(_SAID_BYTES_MAX))
    finally:
        connection.close()
    verdict = _STATUS_CLASSES.get(response.status // 100, Verdict.FAILED)
    return Answer(verdict, f"{response.status} {said}")


_STATUS_CLASSES: Final = {2: Verdict.CLEAN, 4: Verdict.REFUSED}


def _readable(said: bytes) -> str:
    return said.decode("utf-8", "replace").strip()


def scanner(config: MediaConfig) -> Scanner:
    """The scans that are configured, of four files at once."""
    scans: list[Scan] = []
    if config.scan_command:
        scans.append(CommandScan(config.scan_command))
    if config.scan_url is not None:
        scans.append(HttpScan(config.scan_url))
    return Scanner(scans, asyncio.Semaphore(_AT_ONCE))
