"""CS sync, over HTTP, on every database the suite runs on."""

import asyncio

from tests.features.rooms import create_room, join, send
from tests.server import Server

ALICE = "@alice:test"
BOB = "@bob:test"


async def test_a_message_wakes_a_waiting_sync(server: Server) -> None:
    """What is sent while a client waits ends its long poll."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    query = {"filter": '{"presence":{"types":[]}}'}
    first = await bob.get("/v3/sync", query=query)

    waiting = asyncio.ensure_future(
        bob.get(
            "/v3/sync",
            query={**query, "since": first.json["next_batch"], "timeout": "30000"},
        )
    )
    event_id = await send(alice, room_id)

    room = (await waiting).json["rooms"]["join"][room_id]
    [event] = room["timeline"]["events"]
    assert event["event_id"] == event_id
    assert room["timeline"]["limited"] is False
