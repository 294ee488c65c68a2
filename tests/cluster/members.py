"""Processes of `tremula serve` that are one server together."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.homeserver import Homeserver
from tremula.infra.config import PostgresUrl


@dataclass(slots=True)
class Members:
    """All processes, over one database and one bus.

    A process that is stopped or killed stays in ``homeservers`` and can be started
    again, at the address that it had.
    """

    folder: Path
    database: PostgresUrl
    bus_url: str
    homeservers: list[Homeserver] = field(default_factory=list)
    _gone: list[Homeserver] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    async def add(self, prefix: Sequence[str] = ()) -> Homeserver:
        """Start one more, by the command *prefix*; returns when it listens."""
        folder = self.folder / f"member{next(self._numbers)}"
        homeserver = Homeserver(folder, self.database, self.bus_url, prefix)
        self._gone.append(homeserver)
        await homeserver.start()
        self._gone.remove(homeserver)
        self.homeservers.append(homeserver)
        return homeserver

    async def remove(self, homeserver: Homeserver) -> None:
        """Stop one as an operator does, for good."""
        await homeserver.stop()
        self.homeservers.remove(homeserver)
        self._gone.append(homeserver)

    async def restart_ended(self) -> None:
        """Start again who has ended by itself, as an operator's systemd does."""
        for homeserver in self.homeservers:
            if homeserver.has_ended:
                await homeserver.reap()
                await homeserver.start()

    async def stop(self) -> None:
        """Stop all that run, one after the other; each has to end well."""
        for homeserver in self.homeservers:
            if homeserver.is_running:
                await homeserver.stop()

    async def clean_up(self) -> None:
        """End every process that is left, whatever it did."""
        for homeserver in (*self.homeservers, *self._gone):
            await homeserver.clean_up()

    @property
    def complaints(self) -> list[str]:
        """What any of them logged of failures."""
        everybody = (*self.homeservers, *self._gone)
        return [line for each in everybody for line in each.complaints]


@asynccontextmanager
async def running_members(
    folder: Path, database: PostgresUrl, bus_url: str, processes: int = 3
) -> AsyncGenerator[Members]:
    """A server of so many processes; none outlives the test."""
    members = Members(folder, database, bus_url)
    try:
        for _ in range(processes):
            await members.add()
        yield members
        await members.stop()
    finally:
        await members.clean_up()
