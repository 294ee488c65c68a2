"""Marks as they are stored, counted and cleared away, on both databases."""

from collections.abc import Iterable
from unittest.mock import patch

import pytest

from tremula.features.push import storage
from tremula.features.push.marks import EventMarks, Mark
from tremula.features.push.storage import ThreadFloor, Wanted
from tremula.infra.db import Database, Statements
from tremula.protocol.identifiers import UserId

ALICE, BOB = UserId("@alice:test"), UserId("@bob:test")
NOTIFY = Mark(1, 0, '["notify"]')
HIGHLIGHT = Mark(0, 1, '["notify",{"set_tweak":"highlight"}]')
ROOM, OTHER_ROOM = 1, 2
EVER = 2**62


def event(room_pos: int, *, room_nid: int = ROOM, thread: str = "main") -> EventMarks:
    """An event of Bob's that notifies those whose rules are the predefined ones."""
    return EventMarks(
        event_nid=100 + room_pos,
        room_nid=room_nid,
        room_pos=room_pos,
        pos=100 + room_pos,
        thread=thread,
        sender=BOB,
        marks={"": NOTIFY},
    )


async def store(database: Database, events: Iterable[EventMarks]) -> None:
    unit = Statements()
    for each in events:
        storage.insert_marks(unit, each)
    await database.commit(unit)


def wanted(room_nid: int = ROOM, *, after: int = 0, ruleset: str = "") -> Wanted:
    return Wanted(room_nid, ruleset, after, 0, EVER)


async def test_marks_are_counted_by_room_and_thread(database: Database) -> None:
    await store(
        database,
        [event(1), event(2), event(3, thread="$root"), event(1, room_nid=OTHER_ROOM)],
    )

    counts = await storage.thread_counts(
        database, ALICE, [wanted(after=1), wanted(OTHER_ROOM)], []
    )

    assert sorted(
        (c.room_nid, c.thread, c.notifies, c.newest_room_pos) for c in counts
    ) == [
        (ROOM, "$root", 1, 3),
        (ROOM, "main", 1, 2),
        (OTHER_ROOM, "main", 1, 1),
    ]


async def test_a_threads_marks_count_from_its_own_place_on(database: Database) -> None:
    await store(database, [event(pos, thread="$root") for pos in range(1, 5)])
    await store(database, [event(5), event(6)])

    counts = await storage.thread_counts(
        database, ALICE, [wanted()], [ThreadFloor(ROOM, "$root", 3)]
    )

    assert {c.thread: c.notifies for c in counts} == {"$root": 1, "main": 2}


async def test_own_events_and_those_of_another_time_do_not_count(
    database: Database,
) -> None:
    await store(database, [event(pos) for pos in range(1, 5)])

    assert not await storage.thread_counts(database, BOB, [wanted()], [])
    [count] = await storage.thread_counts(
        database, ALICE, [Wanted(ROOM, "", 0, 101, 103)], []
    )
    assert count.notifies == 2


async def test_a_users_own_mark_is_added_to_that_of_the_key(database: Database) -> None:
    marks = {"": NOTIFY, ALICE: HIGHLIGHT}
    await store(database, [EventMarks(7, ROOM, 1, 7, "main", BOB, marks)])

    [count] = await storage.thread_counts(
        database, ALICE, [wanted(), wanted(ruleset=ALICE)], []
    )

    assert (count.notifies, count.highlights) == (1, 1)


async def newest(
    database: Database, *rulesets: str, limit: int = 9, only_highlights: bool = False
) -> list[int]:
    found = await storage.newest_marks(
        database,
        ALICE,
        [wanted(ruleset=each) for each in rulesets or ("",)],
        only_highlights=only_highlights,
        limit=limit,
    )
    return [mark.room_pos for mark in found]


async def test_the_newest_marks_are_listed(database: Database) -> None:
    await store(database, [event(pos) for pos in range(1, 5)])

    assert await newest(database, limit=2) == [4, 3]


async def test_highlights_are_listed_alone(database: Database) -> None:
    loud = EventMarks(102, ROOM, 2, 102, "main", BOB, {"": NOTIFY, ALICE: HIGHLIGHT})
    await store(database, [event(1), loud, event(3)])

    assert await newest(database, "", ALICE, only_highlights=True) == [2]
    assert await newest(database, "", ALICE) == [3, 2, 2, 1]


@pytest.mark.parametrize("kept", [3])
async def test_the_marks_of_the_newest_events_are_kept(
    database: Database, kept: int
) -> None:
    named = EventMarks(105, ROOM, 5, 105, "main", BOB, {ALICE: HIGHLIGHT})
    await store(
        database,
        [
            *(event(pos) for pos in range(1, 9) if pos != 5),
            named,
            event(1, room_nid=OTHER_ROOM),
        ],
    )
    unit = Statements()
    with patch.object(storage, "MARKS_KEPT", kept):
        storage.delete_old_marks(unit, ROOM, newest_pos=8)
    await database.commit(unit)

    assert await newest(database, "", ALICE) == [8, 7, 6]
    assert await database.all("SELECT room_nid FROM push_marks WHERE room_pos = 1") == [
        (OTHER_ROOM,)
    ]


async def test_an_events_marks_go_with_it(database: Database) -> None:
    """All of them, whoever they are for, and no others."""
    marks = {"": NOTIFY, ALICE: HIGHLIGHT, "some-rules": NOTIFY}
    first = EventMarks(101, ROOM, 1, 101, "main", BOB, marks)
    other = EventMarks(102, ROOM, 2, 102, "main", BOB, marks)
    await store(database, [first, other, event(1, room_nid=OTHER_ROOM)])
    unit = Statements()
    storage.delete_marks(unit, ROOM, 1)
    await database.commit(unit)

    rows = await database.all("SELECT room_nid, room_pos, ruleset FROM push_marks")
    assert sorted(rows) == [
        *((ROOM, 2, ruleset) for ruleset in sorted(marks)),
        (OTHER_ROOM, 1, ""),
    ]
