"""Orders the statements of a batch so that few round trips store them."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from tremula.infra.db.params import effect_of
from tremula.infra.db.unit import Params, Returned, Statement

ROWS_MAX: Final = 1_000


class Group(Struct):
    """One text and all the rows that it may run with at once."""

    sql: str
    rows: list[Params] = field(default_factory=list)
    returned: Returned | None = None


def grouped(statements: Iterable[Statement]) -> list[Group]:
    """Bring statements of the same text together where order permits.

    Statements on different tables commute; on the same table they keep their order. A
    statement that also reads keeps its place among all others.
    """
    groups: list[Group] = []
    newest: dict[str, Group] = {}
    for statement in statements:
        table = effect_of(statement.sql).table
        if table is None or statement.returned is not None:
            newest.clear()
            groups.append(
                Group(statement.sql, list(statement.rows), statement.returned)
            )
            continue
        group = newest.get(table)
        if group is None or group.sql != statement.sql or len(group.rows) >= ROWS_MAX:
            group = newest[table] = Group(statement.sql)
            groups.append(group)
        group.rows.extend(statement.rows)
    return groups
