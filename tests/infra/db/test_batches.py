"""Grouping keeps every order that matters."""

from collections.abc import Iterable
from typing import LiteralString, cast

from hypothesis import given
from hypothesis import strategies as st

from tremula.infra.db.batches import ROWS_MAX, grouped
from tremula.infra.db.params import effect_of
from tremula.infra.db.unit import Statement

A: LiteralString = "INSERT INTO a (x) VALUES (:x)"
A2: LiteralString = "UPDATE a SET x = :x"
B: LiteralString = "INSERT INTO b (x) VALUES (:x)"
READS: LiteralString = "INSERT INTO b SELECT :x FROM a"


def _statements(texts: Iterable[LiteralString]) -> list[Statement]:
    return [Statement(sql, ({"x": number},)) for number, sql in enumerate(texts)]


def test_the_same_text_goes_together() -> None:
    groups = grouped(_statements([A, B, A, B, A, B]))

    assert [(each.sql, len(each.rows)) for each in groups] == [(A, 3), (B, 3)]


def test_texts_on_one_table_keep_their_order() -> None:
    groups = grouped(_statements([A, B, A2, A, B]))

    assert [each.sql for each in groups] == [A, B, A2, A]


def test_nothing_passes_a_statement_that_reads() -> None:
    groups = grouped(_statements([A, B, READS, A, B]))

    assert [each.sql for each in groups] == [A, B, READS, A, B]


def test_a_group_is_bounded() -> None:
    groups = grouped(_statements(A for _ in range(2 * ROWS_MAX + 1)))

    assert [len(each.rows) for each in groups] == [ROWS_MAX, ROWS_MAX, 1]


@given(st.lists(st.sampled_from([A, A2, B, READS]), max_size=30))
def test_whatever_touches_the_same_keeps_its_order(texts: list[LiteralString]) -> None:
    order = [
        (group.sql, cast("int", row["x"]))
        for group in grouped(_statements(texts))
        for row in group.rows
    ]

    assert sorted(number for _, number in order) == list(range(len(texts)))
    for table in ("a", "b"):
        touching = [
            number for sql, number in order if effect_of(sql).table in {table, None}
        ]
        assert touching == sorted(touching)
