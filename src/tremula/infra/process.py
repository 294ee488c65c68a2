"""What the services of a process stand on: alone, or as one of several processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from msgspec import Struct

from tremula.infra.config import PostgresUrl, SqliteFile
from tremula.infra.db import Database
from tremula.infra.db.opening import open_database
from tremula.infra.http.application import CatchUp
from tremula.infra.journal import Journal
from tremula.infra.metrics import Metrics
from tremula.infra.slots import SingleProcessSlots, Slots


class ProcessEnded(Exception):
    """The others do without this process before it has begun: it begins anew."""


class Process(Protocol):
    """The ground under the services. It takes part from `begin` to `leave`."""

    @property
    def database(self) -> Database:
        """Where everything is."""
        ...

    @property
    def journal(self) -> Journal:
        """That of all processes, as this one sees it."""
        ...

    @property
    def slots(self) -> Slots:
        """Who does what."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether requests should come here."""
        ...

    @property
    def ended(self) -> asyncio.Event:
        """Set when this process has to begin anew: the others do without it."""
        ...

    async def begin(self) -> None:
        """Take part: all services are built, and their calls registered.

        Raises:
            ProcessEnded: it could not before the others gave it up.
        """
        ...

    @property
    def catch_up(self) -> CatchUp | None:
        """What requests wait for; None if there is never anything."""
        ...

    async def leave(self) -> None:
        """Hand over what only this process does; requests may still come."""
        ...


class Alone(Struct, frozen=True):
    """A server of one process."""

    database: Database
    journal: Journal
    slots: Slots
    ended: asyncio.Event

    @property
    def is_ready(self) -> bool:
        """Always: there is nobody else."""
        return True

    async def begin(self) -> None:
        """Everything is there already."""

    @property
    def catch_up(self) -> None:
        """There is nothing to catch up with."""
        return None

    async def leave(self) -> None:
        """There is nobody to hand over to."""


@asynccontextmanager
async def alone(
    source: SqliteFile | PostgresUrl, metrics: Metrics
) -> AsyncIterator[Process]:
    """The only process of a server.

    Raises:
        DatabaseRefused: the database can't be opened, or not as it is.
    """
    database = await open_database(source, registry=metrics.registry)
    try:
        journal = await Journal.open(database)
        yield Alone(database, journal, SingleProcessSlots(), asyncio.Event())
    finally:
        await database.close()
