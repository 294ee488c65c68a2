"""Reading a span of events past those that are not to be shown."""

from collections.abc import Sequence

import pytest

from tremula.features.history import reading
from tremula.features.history.reading import Span, read_span
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Database
from tremula.infra.db.unit import Statements
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent

ROOM_NID = 1


@pytest.fixture
async def store(database: Database) -> EventStore:
    """A room of the positions 1 to 20."""
    unit = Statements()
    unit.run_many(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, room_pos, depth,
                                  type, sender, origin_server_ts, client_json,
                                  server_json)
        VALUES (:pos, :event_id, :room_nid, :pos, :pos, 'm', '@a:test', 0, :json, :json)
        """,
        [
            {"pos": pos, "event_id": f"${pos}", "room_nid": ROOM_NID, "json": b"{}"}
            for pos in range(1, 21)
        ],
    )
    await database.commit(unit)
    return EventStore(database, ByteLRU(1_000_000))


def positions(events: Sequence[StoredEvent]) -> list[int]:
    return [event.room_pos for event in events]


async def test_a_page_says_whether_there_is_more(store: EventStore) -> None:
    def everything(_: StoredEvent) -> bool:
        return True

    newest = Span(ROOM_NID, 21, 0, backwards=True)
    found = await read_span(store, newest, everything, limit=3)
    assert (positions(found.events), found.place, found.more) == (
        [20, 19, 18],
        17,
        True,
    )

    rest = Span(ROOM_NID, 17, 20, backwards=False)
    found = await read_span(store, rest, everything, limit=2)
    assert (positions(found.events), found.more) == ([18, 19], False)


@pytest.mark.parametrize("batch", [0, 100])
async def test_events_that_are_not_admitted_do_not_end_a_page(
    store: EventStore, batch: int
) -> None:
    """CVE-2026-45076: a page of invisible events ended pagination early."""
    span = Span(ROOM_NID, 21, 0, backwards=True)

    found = await read_span(
        store, span, lambda event: event.room_pos <= 2, limit=1, batch=batch
    )

    assert (positions(found.events), found.place, found.more) == ([2], 1, True)


async def test_a_search_stops_at_its_bound_and_goes_on_from_there(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READ_MAX", 4)
    span = Span(ROOM_NID, 0, 21, backwards=False)

    found = await read_span(store, span, lambda event: event.room_pos > 10, limit=1)

    assert (found.events, found.place, found.more) == ([], 4, True)
