"""The journal: order, visibility, failures."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DatabaseSource
from tests.fakes.database import FakeDatabase
from tests.infra.db.things import insert_thing, open_with_things
from tremula.infra import positions
from tremula.infra.db import Conflict, Database, DatabaseUnavailable
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.identifiers import UserId

ALICE = UserId("@alice:test")
BOB = UserId("@bob:test")


@pytest.fixture
def db() -> FakeDatabase:
    return FakeDatabase()


@pytest.fixture
async def journal(db: FakeDatabase) -> Journal:
    return await Journal.open(db)


def announced(journal: Journal, key: str) -> JournalUnit:
    """A unit that takes a position and announces its key there."""
    unit = journal.unit()
    pos = unit.pos()
    unit.announce("event", key, f"payload of {key}", pos=pos)
    unit.wake({ALICE})
    return unit


async def test_a_unit_is_visible_once_it_is_stored(
    db: FakeDatabase, journal: Journal
) -> None:
    seen: list[Any] = []
    journal.subscribe("event", lambda *entry: seen.append(entry))
    unit = announced(journal, "a")
    future = journal.commit(unit)
    assert (journal.position, seen) == (0, [])

    db.settle()

    assert future.done()
    assert journal.position == 1
    assert seen == [(1, "a", "payload of a")]
    assert journal.tail("event", "a", 0) == [(1, "payload of a")]
    assert journal.changed_pos("event", "a") == 1
    assert journal.changed_keys("event", 0) == {"a"}


async def test_hooks_run_before_the_waiter_goes_on(
    db: FakeDatabase, journal: Journal
) -> None:
    order: list[str] = []

    async def write() -> None:
        unit = announced(journal, "a")
        unit.on_commit(lambda: order.append("hook"))
        await journal.commit(unit)
        order.append("waiter")

    journal.subscribe("event", lambda *_: order.append("subscriber"))
    task = asyncio.create_task(write())
    await asyncio.sleep(0)
    db.settle()
    await task

    assert order == ["hook", "subscriber", "waiter"]


async def test_a_failed_unit_announces_nothing_and_holds_nobody_back(
    db: FakeDatabase, journal: Journal
) -> None:
    order: list[str] = []
    failing = announced(journal, "a")
    failing.on_commit(lambda: order.append("committed"))
    failing.on_failure(lambda: order.append("failed"))
    future = journal.commit(failing)
    journal.commit(announced(journal, "b"))

    db.settle(Conflict("taken"))

    with pytest.raises(Conflict):
        await future
    assert order == ["failed"]
    assert journal.position == 1
    db.settle()
    assert journal.position == 2
    assert journal.tail("event", "a", 0) == []
    assert journal.tail("event", "b", 0) == [(2, "payload of b")]


async def test_a_unit_that_was_dropped_holds_nobody_back(
    db: FakeDatabase, journal: Journal
) -> None:
    dropped = announced(journal, "a")
    journal.commit(announced(journal, "b"))
    db.settle()
    assert journal.position == 0

    await asyncio.sleep(0)

    assert journal.position == 2
    assert journal.tail("event", "a", 0) == []
    with pytest.raises(AssertionError):
        journal.commit(dropped)


async def test_what_is_ephemeral_appears_in_order(
    db: FakeDatabase, journal: Journal
) -> None:
    assert journal.ephemeral("typing", "room", {"alice"}) == 1
    assert journal.position == 1

    journal.commit(announced(journal, "a"))
    journal.ephemeral("typing", "room", set())
    assert journal.position == 1
    assert journal.tail("typing", "room", 0) == [(1, {"alice"})]

    db.settle()

    assert journal.position == 3
    assert journal.tail("typing", "room", 1) == [(3, set())]


async def test_a_subscriber_may_write(db: FakeDatabase, journal: Journal) -> None:
    def stop_typing(pos: int, key: object, payload: object) -> None:
        journal.ephemeral("typing", "room", set())

    journal.subscribe("event", stop_typing)
    journal.commit(announced(journal, "a"))
    journal.commit(announced(journal, "b"))
    db.settle()
    assert journal.position == 1

    db.settle()

    assert journal.position == 4
    assert journal.tail("typing", "room", 0) == [(3, set()), (4, set())]


async def test_a_broken_subscriber_disturbs_nobody(
    db: FakeDatabase, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def broken(pos: int, key: object, payload: object) -> None:
        raise ValueError("broken")

    journal.subscribe("event", broken)
    journal.subscribe("event", lambda pos, key, payload: seen.append(key))
    future = journal.commit(announced(journal, "a"))

    db.settle()

    assert future.done()
    assert seen == ["a"]
    assert "journal_listener_failed" in caplog.text


async def test_a_refused_submission_fails_the_unit(
    db: FakeDatabase, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(FakeDatabase):
        def submit(self, unit: object, settled: object) -> None:
            raise DatabaseUnavailable("closed")

    journal = Journal(Closed(), await positions.Positions.open(db))
    future = journal.commit(announced(journal, "a"))

    with pytest.raises(DatabaseUnavailable):
        await future
    assert journal.position == 1


async def test_a_unit_without_position_needs_no_order(
    db: FakeDatabase, journal: Journal
) -> None:
    called: list[str] = []
    unit = journal.unit()
    unit.on_commit(lambda: called.append("hook"))
    journal.commit(unit)

    db.settle()

    assert called == ["hook"]
    assert journal.position == 0


def _is_down(*_: object) -> None:
    raise DatabaseUnavailable("down")


async def test_positions_are_reserved_before_they_are_used(
    db: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "BLOCK", 10)
    journal = await Journal.open(db)
    db.stored.clear()

    taken = [journal.ephemeral("typing", "room", None) for _ in range(10)]

    assert taken == list(range(1, 11))
    # Once half of the first block is gone. It is stored before what comes after it.
    (reservation,) = db.waiting
    assert reservation[0].statements[0].rows[0]["pos"] == 16
    assert journal.ephemeral("typing", "room", None) == 11
    db.settle(DatabaseUnavailable("down"))
    monkeypatch.setattr(FakeDatabase, "submit", _is_down)
    with pytest.raises(DatabaseUnavailable):
        journal.ephemeral("typing", "room", None)
    monkeypatch.undo()
    assert journal.ephemeral("typing", "room", None) == 12


async def test_a_restart_starts_above_every_position(
    database_source: DatabaseSource,
) -> None:
    first = await open_with_things(database_source)
    journal = await Journal.open(first)
    unit = journal.unit()
    insert_thing(unit, unit.pos(), "a")
    await journal.commit(unit)
    ephemeral = journal.ephemeral("typing", "room", None)
    await first.close()

    second = await open_with_things(database_source)
    journal = await Journal.open(second)

    assert journal.boot_position == journal.position
    assert journal.position > ephemeral
    assert journal.unit().pos() > ephemeral
    await second.close()


async def test_after_a_restart_memory_claims_nothing_about_the_past() -> None:
    journal = Journal(FakeDatabase(), positions.Positions(FakeDatabase(), start=100))

    assert journal.tail("event", "a", 99) is None
    assert journal.changed_keys("event", 99) is None
    assert journal.changed_pos("event", "a") == 100
    assert journal.tail("event", "a", 100) == []
    assert journal.changed_keys("event", 100) == frozenset()


async def test_what_shares_a_commit_is_visible_at_once_and_told_in_order(
    database: Database,
) -> None:
    """The work of making a commit known is done once, not for each of its units."""
    journal = await Journal.open(database)
    told: list[tuple[object, int]] = []
    journal.subscribe("event", lambda _, key, __: told.append((key, journal.position)))
    units = [announced(journal, key) for key in "abc"]

    await asyncio.gather(*map(journal.commit, units))

    assert told == [(key, units[-1].last_pos) for key in "abc"]


async def test_a_conflict_on_a_real_database_reaches_the_waiter(
    database: Database,
) -> None:
    journal = await Journal.open(database)
    unit = journal.unit()
    for _ in range(2):
        unit.run("INSERT INTO infra_server (id, server_name) VALUES (1, 'a')")

    with pytest.raises(Conflict):
        await journal.commit(unit)


ACTIONS = st.lists(
    st.one_of(
        st.just("submit"),
        st.just("nested"),
        st.just("drop"),
        st.just("ephemeral"),
        st.just("store"),
        st.just("fail"),
        st.just("turn"),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_nothing_below_the_watermark_appears_later(actions: list[str]) -> None:
    """Whatever settles when, a reader that follows ``position`` misses nothing."""

    async def scenario() -> None:
        db = FakeDatabase()
        journal = await Journal.open(db)
        seen: list[int] = []
        reader = _Reader(journal)
        journal.subscribe("event", lambda pos, *_: seen.append(pos))
        for action in actions:
            await _act(journal, db, action)
            reader.catch_up()
        await asyncio.sleep(0)
        while db.waiting:
            db.settle()
        reader.catch_up()
        assert reader.read == seen
        assert seen == sorted(seen)

    asyncio.run(scenario())


class _Reader:
    """Reads the tail up to ``position``, each time from where it stopped."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.since = journal.position
        self.read: list[int] = []

    def catch_up(self) -> None:
        entries = self.journal.tail("event", "a", self.since)
        assert entries is not None
        now = self.journal.position
        assert all(pos <= now for pos, _ in entries)
        assert (self.journal.changed_pos("event", "a") > self.since) == bool(entries)
        self.read += [pos for pos, _ in entries]
        self.since = now


async def _act(journal: Journal, db: FakeDatabase, action: str) -> None:
    match action:
        case "submit":
            _ignore(journal.commit(announced(journal, "a")))
        case "nested":
            outer = announced(journal, "a")
            _ignore(journal.commit(announced(journal, "a")))
            outer.announce("event", "a", None, pos=outer.pos())
            _ignore(journal.commit(outer))
        case "drop":
            announced(journal, "a")
        case "ephemeral":
            journal.ephemeral("event", "a", None)
        case "store" if db.waiting:
            db.settle()
        case "fail" if db.waiting:
            db.settle(Conflict("taken"))
        case "turn":
            await asyncio.sleep(0)


def _ignore(future: "asyncio.Future[None]") -> None:
    future.add_done_callback(lambda done: done.exception())
