"""SQL text for each engine."""

import pytest

from tremula.infra.db.params import Effect, effect_of, postgres_text, sqlite_text


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
    ("sql", "table", "reads"),
    [
        ("INSERT INTO a (b) VALUES (:b)", "a", set()),
        ("\n  insert into A (b) values (:b) ON CONFLICT DO NOTHING", "a", set()),
        ("UPDATE a SET b = 1", "a", set()),
        ("DELETE FROM a WHERE b = 1", "a", set()),
        ("DELETE FROM a WHERE b = 1 RETURNING b", "a", set()),
        ("INSERT INTO a SELECT * FROM B", "a", {"b"}),
        ("INSERT INTO a SELECT * FROM a", "a", set()),
        ("INSERT INTO a SELECT * FROM b x LEFT JOIN c ON true", "a", {"b", "c"}),
        ("UPDATE a SET b = (SELECT 1)", "a", set()),
        ("UPDATE a SET b = 1 WHERE EXISTS (SELECT FROM b)", "a", {"b"}),
        ("UPDATE a SET b = c FROM (SELECT c FROM d) e", "a", {"d"}),
        ("INSERT INTO a SELECT * FROM f(:x) WITH ORDINALITY", "a", {"f"}),
        ("INSERT INTO a SELECT * FROM b, c", None, set()),
        ("INSERT INTO a SELECT * FROM b AS x, c", None, set()),
        ("INSERT INTO a WITH x AS (VALUES (1)) SELECT * FROM x", None, set()),
        ("WITH x AS (VALUES (1)) DELETE FROM a", None, set()),
        ("CREATE TABLE a (b BIGINT)", None, set()),
    ],
)
def test_the_tables_of_a_statement_are_known(
    sql: str, table: str | None, reads: set[str]
) -> None:
    assert effect_of(sql) == Effect(table, frozenset(reads))
