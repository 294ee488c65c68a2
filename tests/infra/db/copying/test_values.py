"""Whatever a column can hold is the same on both engines, and in the same order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import new_database
from tests.postgres_server import PostgresServer
from tremula.infra.config.tree import SqliteFile
from tremula.infra.db import DatabaseRefused, Engine
from tremula.infra.db.copying.checksums import summarise
from tremula.infra.db.copying.store import Target, open_store
from tremula.infra.db.copying.table import Table, tables_of
from tremula.infra.db.migrations import script_for
from tremula.infra.db.reader import Row

VALUES: Final = """
    CREATE TABLE kinds (
        small SMALLINT NOT NULL,
        number BIGINT,
        words TEXT NOT NULL,
        note TEXT,
        data BYTEA NOT NULL,
        content BYTEA,
        share DOUBLE PRECISION,
        PRIMARY KEY (words, data)
) /* sqlite: WITHOUT ROWID */;
"""
NUMBERS: Final = st.integers(-(2**63), 2**63 - 1)
# All but NUL and surrogates, which no engine and no UTF-8 has.
TEXTS: Final = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)
LARGE: Final = st.binary(min_size=1, max_size=8).map(lambda each: each * 50_000)
BLOBS: Final = st.binary() | LARGE
# SQLite knows no NaN, and zero without a sign.
REALS: Final = st.floats(allow_nan=False).map(lambda real: real or 0.0)
ROWS: Final = st.lists(
    st.tuples(
        st.integers(-(2**15), 2**15 - 1),
        st.none() | NUMBERS,
        TEXTS,
        st.none() | TEXTS,
        st.binary(),
        st.none() | BLOBS,
        st.none() | REALS,
    ),
    unique_by=lambda row: (row[2], row[4]),
    max_size=20,
)

Stores = tuple[Target, Target]
Work = Callable[[Stores, Table], Awaitable[None]]
RunWork = Callable[[Work], None]


@pytest.fixture
def run_work(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[RunWork]:
    """Does something with a store of each engine, which both have the table."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def open_stores() -> tuple[Stores, Table]:
            sqlite = await stack.enter_async_context(
                open_store(SqliteFile(tmp_path / "values.db"))
            )
            source = new_database(postgres_server, tmp_path, template="template0")
            postgres = await stack.enter_async_context(
                open_store(await stack.enter_async_context(source))
            )
            for store in (sqlite, postgres):
                await store.run_script(script_for(store.engine, VALUES))
            (table,) = tables_of(await sqlite.columns())
            assert tables_of(await postgres.columns()) == [table]
            return (sqlite, postgres), table

        stores, table = runner.run(open_stores())

        async def do(work: Work) -> None:
            await work(stores, table)

        yield lambda work: runner.run(do(work))
        runner.run(stack.aclose())


EVERY_KIND_OF_TEXT: Final = [
    *("", " ", "\x01", "\x7f", "é", "e\u0301", "ß", "\ud7ff", "\ue000", "\ufffd"),
    *("\ufffe", "\uffff", "\U00010000", "\U0010ffff", "'", '"', "\\", "\\N", "\n"),
]


@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
@example(
    rows=[
        (0, number, text, text, text.encode(), b"", None)
        for number, text in zip(
            [-(2**63), 2**63 - 1] * 20, EVERY_KIND_OF_TEXT, strict=False
        )
    ]
)
def test_values_are_the_same_on_both_engines(
    run_work: RunWork, rows: list[Row]
) -> None:
    async def work(stores: Stores, table: Table) -> None:
        expected = sorted(rows, key=lambda row: (row[2].encode(), row[4]))
        for store in stores:
            await store.empty([table])
            await store.insert(table, rows)
            assert await store.page(table, None) == expected
            for place, row in enumerate(expected):
                after = table.key_of(row)
                assert await store.page(table, after) == expected[place + 1 :]
        summaries = [await summarise(each, table, _ignore) for each in stores]
        assert summaries[0] == summaries[1]
        assert summaries[0].rows == len(rows)

    run_work(work)


DIFFERENT: Final[list[tuple[Sequence[Row], Sequence[Row]]]] = [
    ([(0, None, "a", None, b"", None, None)], [(0, 0, "a", None, b"", None, None)]),
    ([(0, None, "a", "", b"", None, None)], [(0, None, "a", None, b"", None, None)]),
    ([(0, None, "a", None, b"", b"", None)], [(0, None, "a", None, b"", None, None)]),
    ([(0, 1, "a", None, b"", None, None)], [(0, None, "a", None, b"", None, 1.0)]),
    (
        [(0, None, "ab", None, b"", None, None)],
        [(0, None, "a", None, b"b", None, None)],
    ),
    ([(0, None, "a", None, b"", None, None)], []),
]


@pytest.mark.parametrize(("some", "others"), DIFFERENT)
def test_different_rows_have_different_checksums(
    run_work: RunWork, some: Sequence[Row], others: Sequence[Row]
) -> None:
    async def work(stores: Stores, table: Table) -> None:
        await stores[0].insert(table, some)
        await stores[1].insert(table, others)
        summaries = [await summarise(each, table, _ignore) for each in stores]
        assert summaries[0].sha256 != summaries[1].sha256

    run_work(work)


IMPOSSIBLE: Final = [
    (Engine.POSTGRES, (2**15, None, "a", None, b"", None, None)),
    (Engine.POSTGRES, (0, None, "NUL\0", None, b"", None, None)),
    (Engine.SQLITE, (0, 2**63, "a", None, b"", None, None)),
]


@pytest.mark.parametrize(("engine", "row"), IMPOSSIBLE)
def test_what_an_engine_can_not_hold_is_told(
    run_work: RunWork, engine: Engine, row: Row
) -> None:
    async def work(stores: Stores, table: Table) -> None:
        (store,) = [each for each in stores if each.engine is engine]
        with pytest.raises(DatabaseRefused, match="refuses rows of kinds: "):
            async with store.transaction():
                await store.insert(table, [row])
        assert await store.count(table) == 0

    run_work(work)


def _ignore(_: int) -> None:
    """Nobody wants to know how far it is."""
