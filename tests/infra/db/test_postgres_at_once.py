"""Batches of rows to insert alone: one statement, and what it does is what steps do."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import LiteralString, cast

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
from msgspec.structs import replace

from tests.infra.db.members import Leases, under, until_waiting
from tests.infra.db.things import thing
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import Conflict, SlotLost, Statements, Unit, WriterLease
from tremula.infra.db.metrics import WriterMetrics
from tremula.infra.db.postgres_session import Connection, Session, start_session
from tremula.infra.db.postgres_writer import PostgresWriter

_OTHER = "INSERT INTO others (name, number) VALUES (:name, :number)"


class _Watching:
    """A connection; ``texts`` are the beginnings of what it has run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    async def execute(self, query: str, /, *args: object) -> str:
        self.texts.append(query.split(maxsplit=1)[0])
        return await self._connection.execute(query, *args)

    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], /
    ) -> None:
        self.texts.append(command.split(maxsplit=1)[0])
        await self._connection.executemany(command, args)


class _Watched:
    """A writer, and the statements that its newest batch took."""

    def __init__(self, url: str, lease: WriterLease | None, session: Session) -> None:
        async def connect() -> Session:
            return await start_session(url, lease)

        watching = _Watching(session.connection)
        first = replace(session, connection=cast("Connection", watching))
        metrics = WriterMetrics.registered(None)
        self.writer = PostgresWriter(first, connect, metrics, lease)
        self.connection = session.connection
        self.texts = watching.texts

    async def store(self, *units: Unit) -> list[Exception | None]:
        """Store *units* in one batch; their outcomes."""
        self.texts.clear()
        outcomes: list[asyncio.Future[Exception | None]] = []
        for unit in units:
            outcomes.append(asyncio.Future())
            self.writer.submit(unit, outcomes[-1].set_result)
        return [await outcome for outcome in outcomes]

    async def rows(self) -> list[tuple[object, ...]]:
        """All things that are stored."""
        found = await self.connection.fetch(
            "SELECT thing_nid, name, data FROM things ORDER BY thing_nid"
        )
        return [tuple(row) for row in found]


@pytest.fixture
async def alone(source: PostgresUrl) -> AsyncIterator[_Watched]:
    watched = _Watched(source.url, None, await start_session(source.url))
    yield watched
    await watched.writer.close()


@pytest.fixture
async def member(source: PostgresUrl, leases: Leases) -> AsyncIterator[_Watched]:
    lease = await leases.number(2)
    watched = _Watched(source.url, lease, await start_session(source.url, lease))
    yield watched
    await watched.writer.close()


def _with_another(nid: int) -> Statements:
    unit = thing(nid, f"{nid}", b"\0" * nid)
    unit.run(_OTHER, name="other", number=nid)
    return unit


async def test_new_rows_of_texts_that_were_seen_before_take_one_round_trip(
    alone: _Watched,
) -> None:
    """The first time, the types of their columns are learnt."""
    await alone.store(_with_another(1))
    assert alone.texts == ["BEGIN;", "INSERT", "INSERT", "COMMIT"]

    outcomes = await alone.store(_with_another(2), thing(3, "3"), thing(4, "4", b""))
    assert outcomes == [None, None, None]
    assert alone.texts == ["WITH"]
    assert await alone.rows() == [
        (1, "1", b"\0"),
        (2, "2", b"\0\0"),
        (3, "3", None),
        (4, "4", b""),
    ]


_COUNTED = """
    INSERT INTO counts (name, times, number) VALUES (:name, 1, :number)
    ON CONFLICT (name) DO UPDATE
    SET times = counts.times + 1, number = excluded.number
"""


async def _counts(watched: _Watched) -> list[tuple[object, ...]]:
    found = await watched.connection.fetch(
        "SELECT name, times, number FROM counts ORDER BY name"
    )
    return [tuple(row) for row in found]


@pytest.fixture
async def counting(alone: _Watched) -> _Watched:
    """A writer that has seen what counts, and knows x."""
    await alone.connection.execute(
        "CREATE TABLE counts (name TEXT PRIMARY KEY, times BIGINT, number BIGINT)"
    )
    assert await alone.store(_counted(0, "x", 10)) == [None]
    return alone


def _counted(nid: int, name: str, number: int) -> Statements:
    unit = thing(nid, f"{nid}")
    unit.run(_COUNTED, name=name, number=number)
    return unit


async def test_rows_that_replace_others_take_one_round_trip(counting: _Watched) -> None:
    outcomes = await counting.store(_counted(1, "y", 20), _counted(2, "x", 11))

    assert outcomes == [None, None]
    assert counting.texts == ["WITH"]
    assert await _counts(counting) == [("x", 2, 11), ("y", 1, 20)]


async def test_rows_of_which_one_replaces_another_take_steps(
    counting: _Watched,
) -> None:
    """A statement can't change a row twice."""
    outcomes = await counting.store(_counted(1, "y", 20), _counted(2, "y", 21))

    assert outcomes == [None, None]
    assert counting.texts[:2] == ["WITH", "BEGIN;"]
    assert await _counts(counting) == [("x", 1, 10), ("y", 2, 21)]


async def test_rows_that_replace_those_of_another_text_take_steps(
    counting: _Watched,
) -> None:
    """In one statement, neither would see what the other one does."""
    plain = "INSERT INTO counts (name, times, number) VALUES (:name, 7, :number)"
    first = thing(1, "1")
    first.run(plain, name="w", number=0)
    assert await counting.store(first) == [None]
    unit = thing(2, "2")
    unit.run(plain, name="z", number=1)
    unit.run(_COUNTED, name="z", number=2)

    assert await counting.store(unit) == [None]

    assert counting.texts[0] == "BEGIN;"
    assert await _counts(counting) == [("w", 7, 0), ("x", 1, 10), ("z", 8, 2)]


async def test_a_row_that_may_not_replace_another_fails_alone(
    counting: _Watched,
) -> None:
    """NULL, where it must not be, says that somebody else was faster."""
    await counting.connection.execute("ALTER TABLE counts ALTER number SET NOT NULL")
    sql: LiteralString = """
        INSERT INTO counts (name, times, number) VALUES (:name, :times, 0)
        ON CONFLICT (name) DO UPDATE
        SET number = CASE WHEN counts.times < excluded.times THEN 1 END
    """
    learnt, first, second = Statements(), Statements(), Statements()
    learnt.run(sql, name="w", times=1)
    first.run(sql, name="x", times=1)
    second.run(sql, name="y", times=2)
    assert await counting.store(learnt) == [None]

    outcomes = await counting.store(first, second)

    assert [type(each) for each in outcomes] == [Conflict, type(None)]
    assert counting.texts[:2] == ["WITH", "BEGIN;"]
    assert await _counts(counting) == [("w", 1, 0), ("x", 1, 10), ("y", 2, 0)]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE lists SET name = :name, lists = :lists WHERE nid = :nid",
        "INSERT INTO lists (nid, name, lists) VALUES (:nid, upper(:name), :lists)",
        "INSERT INTO lists (nid, name, lists) VALUES (:nid, :name, :lists)"
        " ON CONFLICT DO NOTHING",
        "INSERT INTO lists (nid, name, lists) VALUES (:nid, :name, :lists)",
    ],
)
async def test_what_is_more_than_new_rows_takes_steps(
    alone: _Watched, sql: LiteralString
) -> None:
    """A list would be taken for rows."""
    await alone.connection.execute(
        "CREATE TABLE lists (nid BIGINT, name TEXT, lists BIGINT[])"
    )
    for nid in (1, 2):
        unit = thing(nid, f"{nid}")
        unit.run(sql, nid=nid, name=f"{nid}", lists=[1, 2])
        assert await alone.store(unit) == [None]

        assert alone.texts[0] == "BEGIN;"


async def test_of_rows_that_came_at_once_one_that_is_refused_fails_alone(
    alone: _Watched,
) -> None:
    await alone.store(thing(1, "a"))

    outcomes = await alone.store(thing(2, "b"), thing(3, "a"), thing(4, "d"))

    assert [type(each) for each in outcomes] == [type(None), Conflict, type(None)]
    assert alone.texts[:2] == ["WITH", "BEGIN;"]
    assert [nid for nid, *_ in await alone.rows()] == [1, 2, 4]


async def test_the_rows_of_a_slot_that_was_lost_fail_alone(
    member: _Watched, leases: Leases
) -> None:
    lost, kept = await leases.slot(1), await leases.slot(2)
    assert await member.store(under(lost, 1), under(kept, 2)) == [None, None]
    assert await member.store(under(lost, 3), under(kept, 4)) == [None, None]
    assert member.texts == ["WITH"]
    await leases.slot(1)

    outcomes = await member.store(under(lost, 5), under(kept, 6))

    assert [type(each) for each in outcomes] == [SlotLost, type(None)]
    assert member.texts[0] == "WITH"
    assert [nid for nid, *_ in await member.rows()] == [1, 2, 3, 4, 6]


async def test_rows_that_wait_for_a_take_over_find_the_slot_lost(
    source: PostgresUrl, member: _Watched, leases: Leases
) -> None:
    """The take-over goes on for longer than the batch has been under way."""
    slot = await leases.slot(1)
    await member.store(under(slot, 1))
    taking, observer = [await asyncpg.connect(source.url) for _ in range(2)]
    await taking.execute("BEGIN; UPDATE infra_slots SET epoch = epoch + 1")

    async with asyncio.TaskGroup() as group:
        outcomes = group.create_task(member.store(under(slot, 2)))
        await until_waiting(observer, 1)
        await taking.execute("COMMIT")

    assert [type(each) for each in outcomes.result()] == [SlotLost]
    assert [nid for nid, *_ in await member.rows()] == [1]
    await taking.close()
    await observer.close()


async def test_a_take_over_waits_for_rows_that_came_at_once(
    source: PostgresUrl, member: _Watched, leases: Leases
) -> None:
    slot = await leases.slot(1)
    await member.store(under(slot, 1))
    blocker, observer = [await asyncpg.connect(source.url) for _ in range(2)]
    await blocker.execute("BEGIN; INSERT INTO things VALUES (2, 'blocked')")

    async with asyncio.TaskGroup() as group:
        storing = group.create_task(member.store(under(slot, 2)))
        await until_waiting(observer, 1)
        take_over = group.create_task(leases.slot(1))
        await until_waiting(observer, 2)
        assert not take_over.done()
        await blocker.execute("ROLLBACK")

    assert storing.result() == [None]
    assert member.texts == ["WITH"]
    assert take_over.result().epoch == slot.epoch + 1
    await blocker.close()
    await observer.close()
