"""Background tasks that have a name, an owner and an end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

import structlog
from msgspec import Struct

from tremula.infra.bus import BusUnavailable
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.metrics import Metrics
from tremula.infra.slots import outside_of_commands
from tremula.protocol.errors import MatrixError

Work = Callable[[], Awaitable[None]]
_Run = Callable[[str, Work], Coroutine[Any, Any, object]]

log = structlog.get_logger(__name__)


class Backoff(Struct, frozen=True):
    """The pause before a restart: doubled each time, reset by *healthy_s* of work."""

    first_s: float = 1
    most_s: float = 60
    healthy_s: float = 60

    def after(self, pause_s: float, *, ran_s: float) -> float:
        """The pause after a run of *ran_s* that followed a pause of *pause_s*."""
        if ran_s >= self.healthy_s or pause_s == 0:
            return self.first_s
        return min(pause_s * 2, self.most_s)


class Supervisor:
    """Runs background tasks: none dies silently, none outlives `stop`.

    If it ``waits``, all of them begin with `begin`.
    """

    def __init__(
        self, metrics: Metrics, backoff: Backoff | None = None, *, waits: bool = False
    ) -> None:
        self._metrics = metrics
        self._backoff = backoff or Backoff()
        self._begun = asyncio.Event()
        if not waits:
            self.begin()
        self._tasks: set[asyncio.Task[object]] = set()
        self.is_stopping = False
        """Whether nothing can be started any more."""

    def begin(self) -> None:
        """Let begin what has been waiting, and what follows."""
        self._begun.set()

    def keep_running(self, name: str, work: Work) -> None:
        """Run *work*, again whenever it fails, until it returns or `stop`."""
        self._start(name, work, self._repeat)

    def run_once(self, name: str, work: Work) -> None:
        """Run *work* in the background; a failure is logged and counted."""
        self._start(name, work, self._attempt)

    async def stop(self) -> None:
        """Cancel every task and wait for its end. Nothing can be started any more."""
        self.is_stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, name: str, work: Work, run: _Run) -> None:
        if self.is_stopping:
            raise RuntimeError(f"{name} was started after the supervisor had stopped")
        task = asyncio.get_running_loop().create_task(
            run(name, work), name=name, context=outside_of_commands()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self, name: str, work: Work) -> None:
        pause_s = 0.0
        while True:
            started = time.monotonic()
            if await self._attempt(name, work):
                return
            pause_s = self._backoff.after(pause_s, ran_s=time.monotonic() - started)
            await asyncio.sleep(pause_s)

    async def _attempt(self, name: str, work: Work) -> bool:
        """Whether *work* came to its end."""
        if not self._begun.is_set():
            await self._begun.wait()
        try:
            await work()
        except Exception as error:
            if _is_outage(error):
                log.warning("task_interrupted", task=name, reason=str(error))
            else:
                log.exception("task_failed", task=name)
            self._metrics.task_failed(name)
            return False
        return True


def _is_outage(error: Exception) -> bool:
    """Whether it is no bug, but that the database or other processes are away."""
    if isinstance(error, MatrixError):
        return error.http_status == HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error, DatabaseUnavailable | BusUnavailable)
