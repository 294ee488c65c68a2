"""The operator's own look at what comes in, before anybody is served it."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from tremula.protocol.errors import Forbidden, Unknown

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 120
_AT_ONCE: Final = 4
_SAID_BYTES_MAX: Final = 2000


class Scanner(Struct, frozen=True):
    """Runs *command* with the file's path behind it, as ``clamdscan --fdpass`` is run.

    Its exit code says what follows: 0 takes the file in, 1 refuses it. Any other, or no
    answer in two minutes, is a failure: the file is not taken in either.
    """

    command: tuple[str, ...]
    at_once: asyncio.Semaphore

    async def check(self, file: Path) -> None:
        """Refuse *file*, or not.

        Raises:
            Forbidden: the scanner does.
            Unknown: (503) it could not say.
        """
        if not self.command:
            return
        async with self.at_once:
            code, said = await self._run(file)
        if code == 1:
            log.warning("media_refused_by_scanner", said=said)
            raise Forbidden("the file was refused by a scanner")
        if code != 0:
            log.error("media_scanner_failed", exit_code=code, said=said)
            raise Unknown("files can't be scanned now", status=503)

    async def _run(self, file: Path) -> tuple[int | None, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command, str(file), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
            )
        except OSError as error:
            return None, str(error)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                said = await process.stdout.read(_SAID_BYTES_MAX)
                # What else it has to say must not keep it from its end.
                while await process.stdout.read(_SAID_BYTES_MAX):
                    pass
                return await process.wait(), said.decode("utf-8", "replace").strip()
        except TimeoutError:
            return None, "no answer in time"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def scanner(command: tuple[str, ...]) -> Scanner:
    """A scanner that looks at four files at once."""
    return Scanner(command, asyncio.Semaphore(_AT_ONCE))
