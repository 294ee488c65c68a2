"""Units of work: finished lists of statements that are stored whole or not at all."""

from collections.abc import Mapping, Sequence
from typing import LiteralString, Protocol

from msgspec import Struct, field

from tremula.infra.db.errors import DatabaseUnavailable
from tremula.infra.db.reader import Row
from tremula.infra.slots import SlotLease

Params = Mapping[str, object]


class Returned:
    """The rows of a ``RETURNING`` clause, there once the unit is committed."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[Row] = []


class Statement(Struct):
    """One SQL text and the parameter rows that it runs with, in order."""

    sql: LiteralString
    rows: Sequence[Params]
    returned: Returned | None = None


class Unit(Protocol):
    """Collects statements; nothing runs before the unit is committed.

    Storage functions take a unit first and only add to it. Statements of one unit run
    in order as far as they touch the same table.
    """

    error: Exception | None
    """Why the unit was not stored, once it is known that it was not."""

    lease: SlotLease | None
    """The slot whose work it is: it is stored only if nobody else holds it by then."""

    @property
    def predecessor(self) -> "Unit | None":
        """The unit, submitted before, without which this one must not be stored."""
        ...

    @property
    def statements(self) -> Sequence[Statement]:
        """What was collected so far."""
        ...

    def run(self, sql: LiteralString, /, **params: object) -> None:
        """Add one statement."""
        ...

    def run_many(self, sql: LiteralString, rows: Sequence[Params], /) -> None:
        """Add one statement for each of *rows*; none for an empty list."""
        ...

    def returning(self, sql: LiteralString, /, **params: object) -> Returned:
        """Add one statement whose ``RETURNING`` rows the caller needs."""
        ...


class Statements(Struct):
    """The plain :class:`Unit`, for writes that take no journal position."""

    statements: list[Statement] = field(default_factory=list)
    error: Exception | None = None
    lease: SlotLease | None = None

    @property
    def predecessor(self) -> None:
        """None: it stands on its own."""
        return

    def run(self, sql: LiteralString, /, **params: object) -> None:
        """Add one statement."""
        self.statements.append(Statement(sql, (params,)))

    def run_many(self, sql: LiteralString, rows: Sequence[Params], /) -> None:
        """Add one statement for each of *rows*; none for an empty list."""
        if rows:
            self.statements.append(Statement(sql, rows))

    def returning(self, sql: LiteralString, /, **params: object) -> Returned:
        """Add one statement whose ``RETURNING`` rows the caller needs."""
        returned = Returned()
        self.statements.append(Statement(sql, (params,), returned))
        return returned


def check_predecessor(unit: Unit) -> None:
    """See that what *unit* builds upon was not refused.

    Raises:
        DatabaseUnavailable: its predecessor was not stored.
    """
    predecessor = unit.predecessor
    if predecessor is not None and predecessor.error is not None:
        raise DatabaseUnavailable(
            f"the write before this one failed: {predecessor.error}"
        )
