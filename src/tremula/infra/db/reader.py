"""The reading half of the database, the same on every engine."""

from enum import StrEnum
from typing import Any, LiteralString, Protocol

Row = tuple[Any, ...]
"""One row, in the order of the SELECT list. Unpack it; it has no names."""


class Engine(StrEnum):
    """The database engines, for the few statements that must differ."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Reader(Protocol):
    """Committed rows. Every call sees all that was committed before it began.

    Parameters are named (``:name``). ``IN :ids`` and ``NOT IN :ids`` take a list of
    at most 500 integers or strings. Blobs come back as ``bytes``, booleans are 0 and
    1. Write ``CAST(SUM(x) AS BIGINT)``: PostgreSQL would answer with a decimal.

    Raises:
        DatabaseUnavailable: the engine can't be reached now.
        InvalidValue: a parameter holds NUL or is otherwise impossible.
    """

    @property
    def engine(self) -> Engine:
        """Which engine runs the statements."""
        ...

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """Rows of a point or short range look-up (SQLite: read inline, 5 to 60 µs)."""
        ...

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        """The first row of such a look-up, or None."""
        ...

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        """Like :meth:`all`, for a query that may take long: off the event loop."""
        ...
