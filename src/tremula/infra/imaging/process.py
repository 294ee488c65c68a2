"""`ImageProcess`: asks the worker, and gets another one when it has died."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from tremula.infra.imaging.outcome import Outcome
from tremula.infra.programs import Program, start_program

log = structlog.get_logger(__name__)

_ARGUMENTS: Final = ("-m", "tremula.infra.imaging.worker")
_INHERITED: Final = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_IDLE_S: Final = 60
# What a decoder leaks over time goes with its process.
_IMAGES_MAX: Final = 500
_WAITING_MAX: Final = 64
_NICENESS: Final = 10


class ImageFailed(Exception):
    """There is no answer: the worker died, took too long, or has too much to do."""


class Making(Struct, frozen=True, kw_only=True):
    """An image, and the thumbnail that is to be made of it."""

    source: Path
    target: Path
    width: int
    height: int
    method: str
    is_animated: bool


class Made(Struct, frozen=True):
    """What the worker answered; ``content_type`` of the thumbnail, if there is one."""

    outcome: Outcome
    content_type: str = ""
    reason: str = ""


class ImageLimits(Struct, frozen=True, kw_only=True):
    """What one image may cost."""

    pixels_max: int
    memory_bytes: int
    timeout_s: float


class ImageProcess:
    """One worker, started when there is something to do, ended after a while without.

    It has one image at a time: decoding two at once would take nothing but memory.
    """

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._worker: Program | None = None
        self._images = 0
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def make(self, making: Making) -> Made:
        """Make a thumbnail in ``making.target``, or say why not.

        Raises:
            ImageFailed: there is no answer; another image may go well.
        """
        if self._waiting >= _WAITING_MAX:
            raise ImageFailed("too many images wait")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._ask(making)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the worker."""
        async with self._turn:
            await self._end()

    async def _ask(self, making: Making) -> Made:
        if self._idle is not None:
            self._idle.cancel()
        is_done = False
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                answer = await self._answer(await self._running(), making)
        except TimeoutError as error:
            raise ImageFailed("the image takes too long") from error
        except OSError as error:
            raise ImageFailed(f"no worker: {error}") from error
        else:
            is_done = True
            return answer
        finally:
            # Amid an answer, by whatever way, it is of no use any more.
            self._images += 1
            if not is_done or self._images >= _IMAGES_MAX:
                await asyncio.shield(self._end())
            else:
                self._rest()

    async def _answer(self, worker: Program, making: Making) -> Made:
        request = {
            **msgspec.to_builtins(making, enc_hook=str),
            "pixels_max": self._limits.pixels_max,
        }
        worker.stdin.write(msgspec.json.encode(request) + b"\n")
        try:
            return msgspec.json.decode(await worker.stdout.readline(), type=Made)
        except (msgspec.DecodeError, ValueError) as error:
            raise ImageFailed("the worker died") from error

    async def _running(self) -> Program:
        if self._worker is not None and self._worker.has_ended:
            await self._end()
        if self._worker is None:
            self._images = 0
            self._worker = await start_program(
                [sys.executable, *_ARGUMENTS, str(self._limits.memory_bytes)],
                # None of our secrets.
                env={
                    name: os.environ[name] for name in _INHERITED if name in os.environ
                },
            )
            with suppress(ProcessLookupError):
                # From its first import on, it comes after those who wait for answers.
                os.setpriority(os.PRIO_PROCESS, self._worker.pid, _NICENESS)
        return self._worker

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()

    def _rest(self) -> None:
        """End it if nothing comes: 25 MB are much for a small server."""
        worker = self._worker

        def end() -> None:
            if worker is not None and self._worker is worker:
                self._worker = None
                worker.let_go()

        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, end)
