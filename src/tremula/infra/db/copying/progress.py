"""Whoever wants to know how far a copy is."""

from enum import StrEnum
from typing import Protocol

from tremula.infra.db.copying.checksums import Summary


class Step(StrEnum):
    """What is being done with all tables, one after the other."""

    COPY = "copying"
    VERIFY = "verifying"


class Progress(Protocol):
    """Told what a copy does, while it does it."""

    def begun(self, step: Step, rows: int) -> None:
        """*step* has begun; there are *rows* to go through in all."""
        ...

    def advanced(self, table: str, rows: int) -> None:
        """*rows* more of *table* were gone through."""
        ...

    def copied(self, table: str, rows: int) -> None:
        """All *rows* of *table* are in the target."""
        ...

    def verified(self, summary: Summary) -> None:
        """A table is the same in both databases."""
        ...
