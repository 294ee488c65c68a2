"""What relations ask of the database, and what bounds them."""

import asyncio
from urllib.parse import quote

import pytest

from tests.features.relations.relating import edit, relate, relations_of, reply
from tests.features.rooms import create_room, join, send
from tests.http_client import Client
from tests.query_counter import Queries, counted
from tests.server import Server
from tremula.rooms import aggregations

pytestmark = pytest.mark.one_process(reason="it counts the queries of one process")

ALICE, BOB = "@alice:test", "@bob:test"


def asked(queries: Queries) -> int:
    """How often relations were asked for, whatever goes on in the background."""
    return sum("rooms_relations" in sql for sql in queries.reads)


def stored(queries: Queries) -> list[int]:
    """How many statements events took."""
    return [
        len(unit.statements)
        for unit in queries.units
        if "INSERT INTO rooms_events" in unit.statements[0].sql
    ]


async def read_page(server: Server, client: Client, room_id: str) -> int:
    """Read 100 events of a room in memory; how often relations were asked for."""
    room = f"/v3/rooms/{quote(room_id)}"
    assert (await client.get(f"{room}/state/m.room.create/")).status == 200
    with counted(server.db) as queries:
        query: dict[str, str | int] = {"dir": "b", "limit": 100}
        response = await client.get(f"{room}/messages", query=query)
    assert len(response.json["chunk"]) == 100
    return asked(queries)


async def test_a_page_costs_one_query_more_and_only_once(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    for _ in range(100):
        await send(alice, room_id)

    fresh = await read_page(server, alice, room_id)
    server.app.journal.forget(server.app.journal.position)
    old = await read_page(server, alice, room_id)
    again = await read_page(server, alice, room_id)

    assert (fresh, old, again) == (0, 1, 0)


async def test_a_page_of_threads_costs_the_same_however_many_there_are(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    for _ in range(100):
        await send(alice, room_id)
    counts = []
    for _ in range(2):
        for _ in range(10):
            root = await send(alice, room_id)
            await edit(alice, room_id, root)
            await edit(alice, room_id, await reply(alice, room_id, root))
        server.app.journal.forget(server.app.journal.position)
        counts.append(await read_page(server, alice, room_id))

    # Those of the page, and those of the threads' newest events.
    assert counts == [2, 2]


async def test_a_plain_message_is_stored_as_ever_and_an_edit_by_one_row_more(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)

    with counted(server.db) as plain:
        await send(alice, room_id)
    with counted(server.db) as related:
        await edit(alice, room_id, event_id)

    assert (stored(plain), stored(related)) == ([1], [2])
    assert asked(plain) == asked(related) == 0


async def test_who_waits_is_shown_what_relates_without_a_query(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    event_id = await send(alice, room_id)
    query = {"set_presence": "offline"}
    for _ in range(2):
        since = (await bob.get("/v3/sync", query=query)).json["next_batch"]
        query["since"] = since
    query["timeout"] = "30000"

    waiting = asyncio.ensure_future(bob.get("/v3/sync", query=query))
    with counted(server.db) as queries:
        edit_id = await edit(alice, room_id, event_id)
        answer = await waiting

    [event] = answer.json["rooms"]["join"][room_id]["timeline"]["events"]
    assert event["event_id"] == edit_id
    assert asked(queries) == 0


async def test_of_many_references_the_newest_are_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregations, "REFERENCES_MAX", 3)
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    parent, other = [await send(alice, room_id) for _ in range(2)]
    references = [await relate(alice, room_id, "m.reference", parent) for _ in range(5)]
    alone = await relate(alice, room_id, "m.reference", other)

    told = [await relations_of(alice, room_id, each) for each in (parent, other)]

    assert told == [
        {"m.reference": {"chunk": [{"event_id": each} for each in listed]}}
        for listed in (references[2:], [alone])
    ]
