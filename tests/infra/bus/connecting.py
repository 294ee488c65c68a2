"""Buses over real NATS, and waiting for what they say of their connection."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from structlog.typing import EventDict, WrappedLogger

from tremula.infra.bus.nats_bus import NatsBus, NatsTrust
from tremula.infra.bus.nats_servers import parse_nats_url
from tremula.infra.supervisor import Supervisor

DEADLINE_S = 20


@dataclass(frozen=True, slots=True)
class Watched:
    """A bus, and what it says of its connection."""

    bus: NatsBus
    states: asyncio.Queue[bool]

    async def until(self, *, is_connected: bool) -> None:
        """Wait until it says so."""
        async with asyncio.timeout(DEADLINE_S):
            while await self.states.get() is not is_connected:
                pass


def start(
    supervisor: Supervisor, *urls: str, trust: NatsTrust | None = None
) -> Watched:
    """Begin to connect to the servers at *urls*."""
    servers = [parse_nats_url(url) for url in urls]
    bus = NatsBus(servers, name="test", trust=trust)
    states: asyncio.Queue[bool] = asyncio.Queue()
    bus.on_state(states.put_nowait)
    supervisor.keep_running("bus", bus.run)
    return Watched(bus, states)


async def connected(
    supervisor: Supervisor, *urls: str, trust: NatsTrust | None = None
) -> NatsBus:
    """A bus that is connected to one of the servers at *urls*."""
    watched = start(supervisor, *urls, trust=trust)
    await watched.until(is_connected=True)
    return watched.bus


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, to be awaited."""

    events: asyncio.Queue[EventDict] = field(default_factory=asyncio.Queue)

    async def until(self, event: str) -> EventDict:
        """Wait for the next *event*, and return it with its fields."""
        async with asyncio.timeout(DEADLINE_S):
            while (entry := await self.events.get())["event"] != event:
                pass
        return entry


@contextmanager
def logged() -> Iterator[Log]:
    """Catch the log, as ``structlog.testing.capture_logs`` does."""
    log = Log()

    def catch(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
        log.events.put_nowait(entry)
        raise structlog.DropEvent

    # In place: loggers that were used before keep the list.
    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [catch]
    try:
        yield log
    finally:
        processors[:] = before
