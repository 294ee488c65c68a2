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

    Two may change places if neither writes a table that the other one touches. One
    whose returned rows somebody needs runs alone.
    """
    groups: list[Group] = []
    # The last group of each text, and the last ones that write a table, or read it.
    newest: dict[str, int] = {}
    wrote: dict[str, int] = {}
    read: dict[str, int] = {}
    passable = 0
    for statement in statements:
        sql = statement.sql
        effect = effect_of(sql)
        if effect.table is None:
            groups.append(Group(sql, list(statement.rows), statement.returned))
            passable = len(groups)
            continue
        index = newest.get(sql, -1)
        if (
            index < passable
            or wrote[effect.table] > index
            or read.get(effect.table, -1) > index
            or statement.returned is not None
            or len(groups[index].rows) >= ROWS_MAX
            or any(wrote.get(table, -1) > index for table in effect.reads)
        ):
            index = wrote[effect.table] = len(groups)
            for table in effect.reads:
                read[table] = index
            if statement.returned is None:
                newest[sql] = index
            groups.append(Group(sql, returned=statement.returned))
        groups[index].rows.extend(statement.rows)
    return groups
