"""Events that could not be stored, and those built upon them."""

import asyncio
from urllib.parse import quote

from tests.features.rooms import create_room, send
from tests.server import Server
from tremula.infra.db import Statements

ALICE = "@alice:test"


async def test_what_is_built_upon_a_failed_event_fails_with_it(server: Server) -> None:
    """No event names one that does not exist; the room goes on from what is stored."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    first = await send(alice, room_id)
    await _take_next_place(server, first)

    answers = await asyncio.gather(
        *(
            alice.put(
                f"/v3/rooms/{quote(room_id)}/send/m.room.message/lost{number}",
                {"msgtype": "m.text", "body": "lost"},
            )
            for number in range(3)
        )
    )
    assert [answer.status >= 500 for answer in answers] == [True] * 3

    await _free_place(server)
    last = await send(alice, room_id)
    page = await alice.get(
        f"/v3/rooms/{quote(room_id)}/messages", query={"dir": "b", "limit": 2}
    )
    assert [event["event_id"] for event in page.json["chunk"]] == [last, first]


async def test_a_repeated_request_after_a_failure_is_done_anew(server: Server) -> None:
    """A transaction id of an event that was not stored is still unused."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    first = await send(alice, room_id)
    await _take_next_place(server, first)
    path = f"/v3/rooms/{quote(room_id)}/send/m.room.message/again"
    assert (await alice.put(path, {"body": "x"})).status >= 500
    await _free_place(server)

    response = await alice.put(path, {"body": "x"})

    assert response.status == 200


async def test_a_request_repeated_during_a_failure_fails_with_it(
    server: Server,
) -> None:
    """The second one waits for the outcome of the first, and is told of it."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    first = await send(alice, room_id)
    await _take_next_place(server, first)
    path = f"/v3/rooms/{quote(room_id)}/send/m.room.message/twice"

    answers = await asyncio.gather(*(alice.put(path, {"body": "x"}) for _ in range(3)))

    assert [answer.status >= 500 for answer in answers] == [True] * 3
    await _free_place(server)


async def _take_next_place(server: Server, event_id: str) -> None:
    """Make the next insert break a unique key, as a damaged database would."""
    unit = Statements()
    unit.run(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, room_pos, depth, type,
                                  sender, origin_server_ts, client_json, server_json)
        SELECT -1, '$squatter', room_nid, room_pos + 1, 1, 'x', '@x:x', 0,
               client_json, server_json
        FROM rooms_events WHERE event_id = :event_id
        """,
        event_id=event_id,
    )
    await server.db.commit(unit)


async def _free_place(server: Server) -> None:
    unit = Statements()
    unit.run("DELETE FROM rooms_events WHERE event_nid = -1")
    await server.db.commit(unit)
