"""Tells what one request has stored from what goes on beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from unittest.mock import patch

from tremula.infra.db import Database, Settled, Unit

_stored: Final[ContextVar[list[str] | None]] = ContextVar("stored", default=None)


@contextmanager
def watched(database: Database) -> Iterator[None]:
    """Let `stored_here` see what *database* is given within the block."""
    kind = type(database)
    submit = kind.submit

    def submit_watched(self: Database, unit: Unit, settled: Settled) -> None:
        stored = _stored.get()

        def settled_watched(error: Exception | None) -> None:
            if error is None and stored is not None:
                stored.extend(each.sql for each in unit.statements)
            settled(error)

        submit(self, unit, settled_watched)

    with patch.object(kind, "submit", submit_watched):
        yield


@contextmanager
def stored_here() -> Iterator[list[str]]:
    """The statements that were stored by what this block calls, and nobody else.

    What background tasks store (they were started elsewhere) is not among them.
    """
    statements: list[str] = []
    token = _stored.set(statements)
    try:
        yield statements
    finally:
        _stored.reset(token)
