"""Grouping keeps every order that matters."""

from collections.abc import Iterable
from typing import LiteralString, cast

from hypothesis import given
from hypothesis import strategies as st

from tremula.infra.db.batches import ROWS_MAX, grouped
from tremula.infra.db.params import effect_of
from tremula.infra.db.unit import Returned, Statement

A: LiteralString = "INSERT INTO a (x) VALUES (:x)"
A2: LiteralString = "UPDATE a SET x = :x"
B: LiteralString = "INSERT INTO b (x) VALUES (:x)"
C: LiteralString = "INSERT INTO c (x) VALUES (:x)"
READS: LiteralString = "INSERT INTO b SELECT :x FROM a"
UNCLEAR: LiteralString = "INSERT INTO b SELECT :x FROM a, c"


def _statements(texts: Iterable[LiteralString]) -> list[Statement]:
    return [Statement(sql, ({"x": number},)) for number, sql in enumerate(texts)]


def test_the_same_text_goes_together() -> None:
    groups = grouped(_statements([A, B, A, B, A, B]))

    assert [(each.sql, len(each.rows)) for each in groups] == [(A, 3), (B, 3)]


def test_texts_on_one_table_keep_their_order() -> None:
    groups = grouped(_statements([A, B, A2, A, B]))

    assert [each.sql for each in groups] == [A, B, A2, A]


def test_nothing_passes_a_statement_that_reads_what_it_writes() -> None:
    groups = grouped(_statements([A, B, C, READS, A, B, C, READS]))

    assert [each.sql for each in groups] == [A, B, C, READS, A, B, READS]
    assert [len(each.rows) for each in groups] == [1, 1, 2, 1, 1, 1, 1]


def test_statements_that_read_go_together() -> None:
    groups = grouped(_statements([C, READS, C, READS]))

    assert [(each.sql, len(each.rows)) for each in groups] == [(C, 2), (READS, 2)]


def test_nothing_passes_a_statement_that_is_unclear() -> None:
    groups = grouped(_statements([A, C, UNCLEAR, A, C, UNCLEAR]))

    assert [each.sql for each in groups] == [A, C, UNCLEAR, A, C, UNCLEAR]


def test_a_statement_whose_rows_somebody_needs_runs_alone() -> None:
    statements = _statements([A, C, A, C, A])
    returned = statements[2].returned = Returned()

    groups = grouped(statements)

    assert [(each.sql, len(each.rows), each.returned) for each in groups] == [
        (A, 1, None),
        (C, 2, None),
        (A, 1, returned),
        (A, 1, None),
    ]


def test_a_group_is_bounded() -> None:
    groups = grouped(_statements(A for _ in range(2 * ROWS_MAX + 1)))

    assert [len(each.rows) for each in groups] == [ROWS_MAX, ROWS_MAX, 1]


@given(st.lists(st.sampled_from([A, A2, B, C, READS, UNCLEAR]), max_size=30))
def test_whatever_touches_the_same_keeps_its_order(texts: list[LiteralString]) -> None:
    order = [
        (group.sql, cast("int", row["x"]))
        for group in grouped(_statements(texts))
        for row in group.rows
    ]

    assert sorted(number for _, number in order) == list(range(len(texts)))
    for place, (sql, number) in enumerate(order):
        for later, other in order[place + 1 :]:
            assert number < other or not _clash(sql, later)


def _clash(one: str, other: str) -> bool:
    first, second = effect_of(one), effect_of(other)
    if first.table is None or second.table is None:
        return True
    return first.table in {second.table, *second.reads} or second.table in first.reads
