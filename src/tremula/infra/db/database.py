"""The whole database: reading, and storing units in groups."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from tremula.infra.db.reader import Reader
from tremula.infra.db.unit import Unit

Settled = Callable[[Exception | None], None]
"""Told the outcome of a unit, on the event loop: None once it is durable."""

Pending = tuple[Unit, Settled]


class Database(Reader, Protocol):
    """A :class:`Reader` that also writes.

    Units are stored in the order of their submission, as many as wait in one
    transaction, and are durable (fsynced) when they settle. A failing unit fails
    alone.
    """

    def submit(self, unit: Unit, settled: Settled) -> None:
        """Queue *unit*; *settled* is called exactly once, never before this returns.

        Raises:
            DatabaseUnavailable: the queue is full or the database is closed.
        """
        ...

    async def commit(self, unit: Unit) -> None:
        """Store *unit*; it is durable when this returns.

        A caller that is cancelled meanwhile does not stop the unit.

        Raises:
            Conflict: a constraint refused it.
            InvalidValue: a parameter can't be stored.
            DatabaseUnavailable: the engine can't be reached; nothing was stored.
        """
        ...

    async def close(self) -> None:
        """Finish what was submitted and let go of the database."""
        ...


class MemberDatabase(Database, Protocol):
    """That of one of several processes, who wait for each other's units."""

    async def turn(self) -> None:
        """Wait, before a unit is made under a slot's lease, for those who are about to
        make others: one commit stores them all. Who writes alone does not wait.
        """
        ...

    def hurry(self) -> None:
        """Wait for nobody else to store what was submitted: it holds others back."""
        ...


async def commit_through(submit: Callable[[Unit, Settled], None], unit: Unit) -> None:
    """Implement ``Database.commit`` by its ``submit``."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settled(error: Exception | None) -> None:
        if future.done():
            # The caller was cancelled.
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    submit(unit, settled)
    await future


def settle(batch: Sequence[Pending], outcomes: Sequence[Exception | None]) -> None:
    """Tell how the units of a batch ended, that of the last one first.

    The journal makes known in order what is settled: all of it at once, with the first.
    """
    pairs = zip(reversed(batch), reversed(outcomes), strict=True)
    for (_, settled), outcome in pairs:
        settled(outcome)
