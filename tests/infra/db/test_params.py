"""SQL text for each engine."""

import pytest

from tremula.infra.db.params import effect_of, postgres_text, sqlite_text


@pytest.mark.parametrize(
    ("sql", "expected", "arguments"),
    [
        ("SELECT 1", "SELECT 1", []),
        ("SELECT :a", "SELECT $1", ["A"]),
        ("SELECT :b, :a, :b", "SELECT $1, $2, $1", ["B", "A"]),
        ("SELECT ':a', \":a\", x::text, :a", "SELECT ':a', \":a\", x::text, $1", ["A"]),
        ("SELECT :a -- not :b\n", "SELECT $1", ["A"]),
        ("SELECT /* :a\n :b */ :c", "SELECT $1", ["C"]),
        ("\n  SELECT '  ',\n    --\n  1\n", "SELECT '  ', 1", []),
        ("x IN :list AND y = :a", "x = ANY($1) AND y = $2", [[1], "A"]),
        ("x NOT IN :list", "x <> ALL($1)", [[1]]),
        ("x not in\n:list", "x <> ALL($1)", [[1]]),
        ("x IN (:a, :b)", "x IN ($1, $2)", ["A", "B"]),
        ("margin :a", "margin $1", ["A"]),
    ],
)
def test_postgresql_gets_numbers(
    sql: str, expected: str, arguments: list[object]
) -> None:
    text = postgres_text(sql)

    assert text.sql == expected
    params = {"a": "A", "b": "B", "c": "C", "list": [1]}
    assert list(text.bind(params)) == arguments


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :b, :a, :b, 'IN :b'", "SELECT ?1, ?2, ?1, 'IN :b'"),
        ("x IN :list", "x IN (SELECT value FROM json_each(?1))"),
        ("x NOT IN :list", "x NOT IN (SELECT value FROM json_each(?1))"),
    ],
)
def test_sqlite_gets_numbers(sql: str, expected: str) -> None:
    assert sqlite_text(sql).sql == expected


def test_sqlite_binds_lists_as_json_and_leaves_the_caller_its_own() -> None:
    params = {"list": ["a", 'b"'], "a": 1}

    bound = sqlite_text("x IN :list AND a = :a").bind(params)

    assert bound == ('["a","b\\""]', 1)
    assert params["list"] == ["a", 'b"']


def test_a_single_value_is_no_list() -> None:
    with pytest.raises(TypeError):
        sqlite_text("x IN :list").bind({"list": "abc"})
    with pytest.raises(TypeError):
        postgres_text("x IN :list").bind({"list": "abc"})


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("INSERT INTO a (b) VALUES (:b)", "a"),
        ("\n  insert into A (b) values (:b) ON CONFLICT DO NOTHING", "a"),
        ("UPDATE a SET b = 1", "a"),
        ("DELETE FROM a WHERE b = 1", "a"),
        ("DELETE FROM a WHERE b = 1 RETURNING b", None),
        ("INSERT INTO a SELECT * FROM b", None),
        ("UPDATE a SET b = (SELECT 1)", None),
        ("WITH x AS (VALUES (1)) DELETE FROM a", None),
        ("CREATE TABLE a (b BIGINT)", None),
    ],
)
def test_the_table_of_a_statement_is_known(sql: str, table: str | None) -> None:
    assert effect_of(sql).table == table
