"""What sliding sync asks of the database: of what is in memory, nothing."""

from typing import Any

import pytest

from tests.features.rooms import create_room, join, send
from tests.features.sliding_sync.polling import ALICE, BOB, a_list, slide, waiting
from tests.query_counter import counted
from tests.server import Server

# They count what one process asks.
pytestmark = pytest.mark.one_process

EXTENSIONS = {
    name: {"enabled": True} for name in ("account_data", "receipts", "typing", "e2ee")
}
REQUIRED = [["m.room.name", ""], ["m.room.member", "$ME"], ["m.room.member", "$LAZY"]]


def _body(rooms: int) -> dict[str, Any]:
    wanted = a_list(
        0, rooms, required_state=REQUIRED, not_room_types=["m.space"], is_dm=False
    )
    return {"lists": {"all": wanted}, "extensions": EXTENSIONS}


async def _rooms_of(server: Server, count: int) -> list[str]:
    """Rooms of Alice with Bob in them, in which both have spoken."""
    alice, bob = server.client(ALICE), server.client(BOB)
    rooms = []
    for number in range(count):
        room_id = await create_room(alice, preset="public_chat", name=str(number))
        await join(bob, room_id)
        await send(bob, room_id)
        await send(alice, room_id)
        rooms.append(room_id)
    return rooms


async def test_a_poll_without_news_asks_and_stores_nothing(server: Server) -> None:
    await _rooms_of(server, 3)
    bob = server.client(BOB)
    first = await slide(bob, **_body(9))

    with counted(server.db) as queries:
        second = await slide(bob, first["pos"], **_body(9))

    assert second["rooms"] == {}
    assert queries.reads == []
    assert queries.units == []


@pytest.mark.parametrize("count", [2, 12])
async def test_whoever_is_woken_reads_and_stores_nothing(
    server: Server, count: int
) -> None:
    """However many rooms there are."""
    rooms = await _rooms_of(server, count)
    alice, bob = server.client(ALICE), server.client(BOB)
    body = _body(count)
    pos = (await slide(bob, **body))["pos"]
    for _ in range(2):
        await send(alice, rooms[0])
        pos = (await slide(bob, pos, **body))["pos"]

    task = await waiting(server, bob, pos, **body)
    with counted(server.db) as queries:
        event_id = await send(alice, rooms[0])
        answer = await task

    [event] = answer["rooms"][rooms[0]]["timeline"]
    assert event["event_id"] == event_id
    assert queries.reads == []
    # The message itself.
    assert len(queries.units) == 1


async def test_rooms_outside_of_the_window_are_not_loaded(server: Server) -> None:
    """The order and the filters of all of them take a query each."""
    await _rooms_of(server, 6)
    bob = server.client(BOB)
    await bob.get("/v3/account/whoami")
    registry = server.app.journal
    registry.forget(registry.position)

    with counted(server.db) as queries:
        answer = await slide(bob, **_body(0))
    loads = [sql for sql in queries.reads if "FROM rooms_rooms\n" in sql]

    assert len(answer["rooms"]) == 1
    assert answer["lists"]["all"]["count"] == 6
    assert len([sql for sql in loads if "room_id = :room_id" in sql]) <= 1


async def test_a_connection_without_rooms_looks_at_none(server: Server) -> None:
    """As that which clients have for their keys."""
    await _rooms_of(server, 2)
    alice, bob = server.client(ALICE), server.client(BOB)
    extensions = {name: {"enabled": True} for name in ("e2ee", "to_device")}
    await slide(bob, extensions=extensions)
    journal = server.app.journal
    journal.forget(journal.position)

    with counted(server.db) as queries:
        first = await slide(bob, extensions=extensions)
    await alice.put(
        "/v3/sendToDevice/org.note/t1", {"messages": {BOB: {"*": {"note": 1}}}}
    )
    second = await slide(bob, first["pos"], extensions=extensions)

    assert not [sql for sql in queries.reads if "rooms_events" in sql]
    assert not queries.units
    assert second["extensions"]["to_device"]["events"][0]["content"] == {"note": 1}
