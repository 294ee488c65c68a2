"""Counts what a request asks of the database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tremula.infra.db import Database, Unit


@dataclass(slots=True)
class Queries:
    """The reads and the units of work of a while, by their SQL."""

    reads: list[str] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)


@contextmanager
def counted(database: Database) -> Iterator[Queries]:
    """Count what *database* is asked within the block; it answers as ever.

    What is made of events later (`rooms/following.py`) does not count: that is begun
    some seconds after them, which a test may take on a busy machine.
    """
    queries = Queries()
    kind = type(database)
    originals = {name: getattr(kind, name) for name in ("all", "first", "scan")}
    submit = kind.submit

    def counting(name: str) -> Any:  # noqa: ANN401 - a method of any reader
        async def read(self: Database, sql: str, /, **params: object) -> Any:  # noqa: ANN401
            if not _is_index():
                queries.reads.append(sql)
            return await originals[name](self, sql, **params)

        return read

    def count_unit(self: Database, unit: Unit, settled: Any) -> None:  # noqa: ANN401
        if not _is_index():
            queries.units.append(unit)
        submit(self, unit, settled)

    with (
        patch.object(kind, "all", counting("all")),
        patch.object(kind, "first", counting("first")),
        patch.object(kind, "scan", counting("scan")),
        patch.object(kind, "submit", count_unit),
    ):
        yield queries


def _is_index() -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name().startswith("index_")
