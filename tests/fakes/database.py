"""A database that settles units when the test says so, in memory."""

from dataclasses import dataclass, field
from typing import LiteralString

from tremula.infra.db import Engine, Row, Settled, Unit
from tremula.infra.db.database import commit_through


@dataclass(slots=True)
class FakeDatabase:
    """Implements ``Database``; it stores nothing but which units succeeded."""

    engine: Engine = Engine.SQLITE
    waiting: list[tuple[Unit, Settled]] = field(default_factory=list)
    stored: list[Unit] = field(default_factory=list)
    is_manual: bool = False

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """Nothing is ever stored."""
        return []

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """The only row that exists: no position was handed out yet."""
        return (0,)

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """Nothing is ever stored."""
        return []

    def submit(self, unit: Unit, settled: Settled) -> None:
        """Queue *unit* until :meth:`settle`."""
        self.waiting.append((unit, settled))

    async def commit(self, unit: Unit) -> None:
        """Store *unit*; at once, unless the test took over."""

        def submit(unit: Unit, settled: Settled) -> None:
            self.submit(unit, settled)
            if not self.is_manual:
                self.settle()

        await commit_through(submit, unit)

    async def close(self) -> None:
        """Nothing to let go."""

    def settle(self, error: Exception | None = None) -> None:
        """Store the oldest unit that waits, or fail it with *error*."""
        unit, settled = self.waiting.pop(0)
        if error is None:
            self.stored.append(unit)
        settled(error)
