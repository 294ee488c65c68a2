"""What both engines promise alike."""

import asyncio
from typing import LiteralString

import pytest
from prometheus_client import CollectorRegistry

from tests.conftest import DatabaseSource
from tests.infra.db.things import THINGS, insert_thing, names, thing
from tremula.infra.db import (
    Conflict,
    Database,
    DatabaseUnavailable,
    Engine,
    InvalidValue,
    Statements,
    open_database,
)
from tremula.infra.db.migrations import all_migrations


async def test_what_is_committed_can_be_read(db: Database) -> None:
    await db.commit(thing(1, "één", b"\0\xff"))

    rows = await db.all("SELECT thing_nid, name, data FROM things")

    assert rows == [(1, "één", b"\0\xff")]


async def test_first_is_the_first_row_or_none(db: Database) -> None:
    sql: LiteralString = "SELECT name FROM things WHERE thing_nid >= :nid ORDER BY name"
    unit = thing(1, "b")
    insert_thing(unit, 2, "a")
    await db.commit(unit)

    assert await db.first(sql, nid=1) == ("a",)
    assert await db.first(sql, nid=3) is None


async def test_a_scan_answers_like_a_short_read(db: Database) -> None:
    await db.commit(thing(1, "a"))

    assert await db.scan("SELECT name FROM things WHERE name = :n", n="a") == [("a",)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT name FROM things WHERE thing_nid IN :ids ORDER BY name", ["a", "c"]),
        ("SELECT name FROM things WHERE thing_nid NOT IN :ids", ["b"]),
    ],
)
async def test_in_takes_a_list(
    db: Database, sql: LiteralString, expected: list[str]
) -> None:
    unit = Statements()
    for nid, name in enumerate("abc", 1):
        insert_thing(unit, nid, name)
    await db.commit(unit)

    assert [name for (name,) in await db.all(sql, ids=[1, 3, 9])] == expected


async def test_in_takes_strings_and_an_empty_list(db: Database) -> None:
    sql: LiteralString = "SELECT thing_nid FROM things WHERE name IN :names"
    await db.commit(thing(1, 'quote" and \\'))

    assert await db.all(sql, names=['quote" and \\', "x"]) == [(1,)]
    assert await db.all(sql, names=[]) == []


async def test_in_takes_at_most_500_values(db: Database) -> None:
    with pytest.raises(InvalidValue):
        await db.all("SELECT 1 FROM things WHERE name IN :n", n=["x"] * 501)


async def test_rows_of_a_returning_clause_are_there_after_the_commit(
    db: Database,
) -> None:
    await db.commit(thing(1, "a"))
    unit = Statements()
    returned = unit.returning(
        "DELETE FROM things WHERE name = :name RETURNING thing_nid, name", name="a"
    )
    nothing = unit.returning(
        "DELETE FROM things WHERE name = :name RETURNING thing_nid", name="a"
    )

    await db.commit(unit)

    assert returned.rows == [(1, "a")]
    assert nothing.rows == []


async def test_statements_on_one_table_keep_their_order(db: Database) -> None:
    unit = Statements()
    for nid in range(3):
        insert_thing(unit, nid, f"{nid}")
        unit.run("UPDATE things SET name = name || :tail", tail="x")
        unit.run("INSERT INTO others (name, number) VALUES (:n, :i)", n="o", i=nid)

    await db.commit(unit)

    assert await names(db) == ["0xxx", "1xx", "2x"]


async def test_run_many_stores_every_row(db: Database) -> None:
    unit = Statements()
    sql: LiteralString = "INSERT INTO others (name, number) VALUES (:name, :number)"
    unit.run_many(sql, [{"name": "a", "number": i} for i in range(50)])
    unit.run_many(sql, [])

    await db.commit(unit)

    assert await db.first("SELECT COUNT(*) FROM others") == (50,)


async def test_a_conflict_names_its_table_and_stores_nothing(db: Database) -> None:
    await db.commit(thing(1, "taken"))
    unit = thing(2, "other")
    insert_thing(unit, 3, "taken")

    with pytest.raises(Conflict) as caught:
        await db.commit(unit)

    assert caught.value.table == "things"
    assert await names(db) == ["taken"]


async def test_a_failing_unit_fails_alone(db: Database) -> None:
    await db.commit(thing(0, "taken"))
    broken = Statements()
    broken.run("UPDATE things SET no_such_column = 1")
    units = [
        thing(1, "a"),
        thing(2, "taken"),
        thing(3, "b"),
        thing(4, "nul\0"),
        broken,
        thing(1, "nid taken by a unit of the same batch"),
        thing(5, "c"),
    ]

    outcomes = await asyncio.gather(
        *(db.commit(unit) for unit in units), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes[:4]] == [
        type(None),
        Conflict,
        type(None),
        InvalidValue,
    ]
    assert isinstance(outcomes[4], Exception)
    assert isinstance(outcomes[5], Conflict)
    assert outcomes[6] is None
    assert await names(db) == ["taken", "a", "b", "c"]


async def test_what_is_submitted_together_is_committed_together(
    database_source: DatabaseSource,
) -> None:
    registry = CollectorRegistry()
    db = await open_database(
        database_source, registry=registry, migrations=[*all_migrations(), THINGS]
    )

    await asyncio.gather(*(db.commit(thing(nid, f"{nid}")) for nid in range(20)))

    assert registry.get_sample_value("tremula_db_commit_seconds_count") == 1
    assert registry.get_sample_value("tremula_db_batch_units_sum") == 20
    outcome = {"outcome": "stored"}
    assert registry.get_sample_value("tremula_db_units_total", outcome) == 20
    await db.close()


async def test_later_units_see_earlier_ones_of_their_batch(db: Database) -> None:
    rename = Statements()
    rename.run("UPDATE things SET name = :new WHERE name = :old", old="a", new="b")
    returned = rename.returning("UPDATE things SET data = NULL RETURNING name")

    await asyncio.gather(db.commit(thing(1, "a")), db.commit(rename))

    assert returned.rows == [("b",)]


@pytest.mark.parametrize("name", ["nul\0", "\ud800"])
async def test_a_text_that_cannot_be_stored_is_refused(db: Database, name: str) -> None:
    with pytest.raises(InvalidValue):
        await db.commit(thing(1, name))
    with pytest.raises(InvalidValue):
        await db.all("SELECT 1 FROM things WHERE name = :name", name=name)


async def test_a_number_past_64_bits_is_refused(db: Database) -> None:
    with pytest.raises(InvalidValue):
        await db.commit(thing(2**63, "a"))
    with pytest.raises(InvalidValue):
        await db.first("SELECT 1 FROM things WHERE thing_nid = :nid", nid=2**63)


async def test_texts_sort_by_code_point(db: Database) -> None:
    unit = Statements()
    for nid, name in enumerate(["é", "b", "a", "B", "_", "𝄞", "\uffff"]):
        insert_thing(unit, nid, name)
    await db.commit(unit)

    rows = await db.all("SELECT name FROM things ORDER BY name")

    assert [name for (name,) in rows] == ["B", "_", "a", "b", "é", "\uffff", "𝄞"]


async def test_a_value_of_another_type_is_refused(db: Database) -> None:
    unit = Statements()
    unit.run("INSERT INTO others (name, number) VALUES (:n, :i)", n="a", i="many")

    with pytest.raises(InvalidValue):
        await db.commit(unit)


async def test_a_cancelled_caller_does_not_stop_its_unit(db: Database) -> None:
    task = asyncio.create_task(db.commit(thing(1, "a")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await db.commit(thing(2, "b"))

    assert await names(db) == ["a", "b"]


async def test_a_batch_of_many_statements_is_stored(db: Database) -> None:
    units = [Statements() for _ in range(3)]
    for i, unit in enumerate(units):
        unit.run_many(
            "INSERT INTO others (name, number) VALUES (:name, :number)",
            [{"name": f"{i}", "number": number} for number in range(1_000)],
        )
    insert_thing(units[1], 1, "a")

    outcomes = await asyncio.gather(
        *(db.commit(unit) for unit in [*units, thing(1, "b")]), return_exceptions=True
    )

    assert [type(each) for each in outcomes] == [type(None)] * 3 + [Conflict]
    assert await db.first("SELECT COUNT(*) FROM others") == (3_000,)


async def test_reading_can_not_write(db: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await db.all("DELETE FROM things")


async def test_closing_finishes_what_was_submitted(
    db: Database,
) -> None:
    outcomes: list[Exception | None] = []
    db.submit(thing(1, "a"), outcomes.append)
    db.submit(thing(2, "b"), outcomes.append)

    await db.close()

    assert outcomes == [None, None]
    with pytest.raises(DatabaseUnavailable):
        db.submit(thing(3, "c"), outcomes.append)


async def test_the_engine_is_known(db: Database) -> None:
    assert db.engine in Engine
