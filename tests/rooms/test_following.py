"""What is made of events is made of each of them once, whoever does it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.fakes.slots import SharedSlots
from tremula.features.search import storage
from tremula.features.search.storage import Wanted
from tremula.infra.db import Database, Statements, Unit
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.search_query import IndexTerm
from tremula.rooms import following_storage
from tremula.rooms.events import StoredEvent
from tremula.rooms.following import (
    EVENTS_AT_ONCE,
    EVENTS_LOOKED_AT,
    Batch,
    CatchUp,
    Follower,
    batch_of,
)

ALL = Wanted((IndexTerm("x", is_prefix=False),))
EVENTS = 2 * EVENTS_AT_ONCE + 50
END = 10 * EVENTS


def events() -> list[StoredEvent]:
    return [
        StoredEvent(
            event_nid=10 * number,
            event_id=EventId(f"${number}"),
            room_nid=1,
            room_pos=number,
            type="m.room.message",
            state_key=None,
            sender=UserId("@alice:test"),
            origin_server_ts=0,
            client_json=b'{"content":{}}',
        )
        for number in range(1, EVENTS + 1)
    ]


@dataclass
class Documents:
    """Implements ``Derived`` over the tables of the search index.

    A second document of an event would replace the first one, so *added* counts.
    """

    db: Database
    added: list[int]
    is_to_wait: asyncio.Event | None = None
    fails_at: int | None = None
    name: str = "documents"

    @property
    def version(self) -> int:
        return 1

    def delete_all(self, unit: Unit) -> None:
        storage.delete_all_documents(unit, self.db.engine)

    async def read(self, pos: int, *, up_to: int, limit: int) -> Batch:
        found = [e for e in events() if pos < e.event_nid <= up_to][:limit]
        return batch_of(found, [e.event_nid for e in found], up_to=up_to, limit=limit)

    async def add(self, unit: Unit, events: Sequence[StoredEvent]) -> None:
        nids = [event.event_nid for event in events]
        storage.upsert_documents(unit, self.db.engine, [(nid, {"x"}) for nid in nids])
        if self.is_to_wait is not None:
            await self.is_to_wait.wait()
        if self.fails_at in nids:
            raise RuntimeError("the process ends here")
        self.added += nids


async def stored(db: Database) -> list[int]:
    return sorted(await storage.documents_before(db, 2**62, ALL, limit=1000))


async def test_events_are_taken_in_batches(database: Database) -> None:
    journal, slots = await Journal.open(database), SharedSlots()
    documents = Documents(database, [])
    process = slots.process()
    slots.give(process)
    follower = Follower(database, journal, process, documents)

    more = [await follower.take_some(END) for _ in range(5)]

    # The first one finds that there is nothing yet.
    assert more == [True, True, True, False, False]
    assert documents.added == await stored(database) == [e.event_nid for e in events()]
    progress = await following_storage.find_progress(database, "documents")
    assert progress == following_storage.Progress(1, END)


@dataclass
class Seldom(Documents):
    """Made of few events; ``asked`` are the ranges of positions it was read from."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    async def read(self, pos: int, *, up_to: int, limit: int) -> Batch:
        self.asked.append((pos, up_to))
        found = [e for e in events()[-1:] if pos < e.event_nid <= up_to]
        return batch_of(found, [e.event_nid for e in found], up_to=up_to, limit=limit)


async def test_what_is_read_at_once_is_not_sought_among_all_that_there_is(
    database: Database,
) -> None:
    """Nor is what comes after many other events given up."""
    stored_events = 3 * EVENTS_LOOKED_AT
    unit = Statements()
    unit.run_many(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, depth, type, sender,
                                  origin_server_ts, client_json, server_json)
        VALUES (:nid, :event_id, 1, 1, 'm.reaction', '@alice:test', 0, :json, :json)
        """,
        [
            {"nid": nid, "event_id": f"${nid}", "json": b"{}"}
            for nid in range(1, stored_events + 1)
        ],
    )
    await database.commit(unit)
    journal, slots = await Journal.open(database), SharedSlots()
    process = slots.process()
    slots.give(process)
    seldom = Seldom(database, [])
    follower = Follower(database, journal, process, seldom)

    while await follower.take_some(END):
        pass

    assert seldom.added == [events()[-1].event_nid]
    assert len(seldom.asked) > stored_events / EVENTS_LOOKED_AT
    for after, up_to in seldom.asked:
        assert min(up_to, stored_events) - after <= EVENTS_LOOKED_AT


async def test_a_crash_amid_a_batch_leaves_nothing_of_it(database: Database) -> None:
    journal, slots = await Journal.open(database), SharedSlots()
    process = slots.process()
    slots.give(process)
    crashing = Documents(database, [], fails_at=events()[EVENTS_AT_ONCE + 3].event_nid)
    follower = Follower(database, journal, process, crashing)
    await follower.take_some(END)
    await follower.take_some(END)
    with pytest.raises(RuntimeError):
        await follower.take_some(END)
    assert await stored(database) == crashing.added
    assert len(crashing.added) == EVENTS_AT_ONCE

    documents = Documents(database, crashing.added)
    next_process = slots.process()
    slots.give(next_process)
    following = Follower(database, journal, next_process, documents)
    while await following.take_some(END):
        pass

    assert documents.added == await stored(database) == [e.event_nid for e in events()]


async def test_of_two_processes_the_second_one_sees_what_the_first_did(
    database: Database,
) -> None:
    """Were both to hold the slot for a moment: what is stored by then counts."""
    journal = await Journal.open(database)
    waiting = Documents(database, [], is_to_wait=asyncio.Event())
    hurrying = Documents(database, [])
    followers = []
    for documents in (waiting, hurrying):
        slots = SharedSlots()
        process = slots.process()
        slots.give(process)
        followers.append(Follower(database, journal, process, documents))
    late, early = followers
    await early.take_some(END)

    late_batch = asyncio.create_task(late.take_some(END))
    while await early.take_some(END):
        pass
    assert waiting.is_to_wait is not None
    waiting.is_to_wait.set()

    assert not await late_batch
    assert hurrying.added == await stored(database)


async def test_another_version_is_made_anew(database: Database) -> None:
    journal, slots = await Journal.open(database), SharedSlots()
    process = slots.process()
    slots.give(process)
    documents = Documents(database, [])
    follower = Follower(database, journal, process, documents)
    while await follower.take_some(100):
        pass
    assert len(await stored(database)) == 10
    unit = journal.unit()
    following_storage.begin(unit, "documents", 0)
    storage.upsert_documents(unit, database.engine, [(7, {"x"})])
    await journal.commit(unit)

    while await follower.take_some(100):
        pass

    assert await stored(database) == [e.event_nid for e in events()][:10]


async def test_whoever_asks_has_the_holder_do_it(database: Database) -> None:
    journal, slots = await Journal.open(database), SharedSlots()
    processes = [slots.process(), slots.process()]
    made = [Documents(database, []), Documents(database, [])]
    _, asking = [
        Follower(database, journal, process, documents)
        for process, documents in zip(processes, made, strict=True)
    ]
    slots.give(processes[0])

    await processes[1].call("documents", "documents", CatchUp(END))
    await asking.catch_up()

    assert len(made[0].added) == EVENTS
    assert made[1].added == []
