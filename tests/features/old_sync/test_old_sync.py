"""CS initialSync, getEvents, peekEvents and getOneEvent, over HTTP."""

import asyncio
from typing import Any

from tests.features.rooms import create_room, guest, join, send, set_state
from tests.http_client import Client
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"


async def listen(client: Client, start: str, **query: str | int) -> dict[str, Any]:
    wanted: dict[str, str | int] = {"from": start, "timeout": 0, **query}
    response = await client.get("/v3/events", query=wanted)
    assert response.status == 200, response.body
    body: dict[str, Any] = response.json
    assert body["start"] == start
    return body


async def invite(client: Client, room_id: str, user_id: str) -> None:
    path = f"/v3/rooms/{room_id}/invite"
    response = await client.post(path, {"user_id": user_id})
    assert response.status == 200, response.body


async def begin(
    server: Server, client: Client, start: str, **query: str
) -> asyncio.Task[dict[str, Any]]:
    """Listen for a minute; returns once the request waits."""
    listening = asyncio.create_task(listen(client, start, timeout=60_000, **query))
    async with asyncio.timeout(5):
        while not server.waiting_users:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    return listening


def bodies(events: list[dict[str, Any]]) -> list[str]:
    return [
        event["content"]["body"]
        for event in events
        if event["type"] == "m.room.message"
    ]


async def test_the_beginning_has_all_rooms(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, visibility="public")
    for number in range(3):
        await send(alice, room_id, str(number))
    invited = await create_room(bob)
    await invite(bob, invited, ALICE)
    left = await create_room(alice)
    await alice.post(f"/v3/rooms/{left}/leave")
    await alice.put(f"/v3/user/{ALICE}/account_data/org.test", {"a": 1})

    told = (await alice.get("/v3/initialSync?limit=2")).json
    rooms = {room["room_id"]: room for room in told["rooms"]}

    assert rooms.keys() == {room_id, invited}
    assert bodies(rooms[room_id]["messages"]["chunk"]) == ["1", "2"]
    assert rooms[room_id]["visibility"] == "public"
    assert rooms[invited]["membership"] == "invite"
    assert rooms[invited]["invite"]["sender"] == BOB
    assert {"type": "org.test", "content": {"a": 1}} in told["account_data"]
    archived = (await alice.get("/v3/initialSync?archived=true")).json
    assert {room["room_id"]: room["membership"] for room in archived["rooms"]} == {
        room_id: "join",
        invited: "invite",
        left: "leave",
    }


async def test_events_come_from_all_rooms_once(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    rooms = [await create_room(alice, preset="public_chat") for _ in range(2)]
    for room_id in rooms:
        await join(bob, room_id)
    end = (await bob.get("/v3/initialSync")).json["end"]
    assert (await listen(bob, end))["chunk"] == []

    for number in range(30):
        await send(alice, rooms[number % 2], str(number))
    invited = await create_room(alice)
    await invite(alice, invited, BOB)
    first = await listen(bob, end)

    assert sorted(bodies(first["chunk"]), key=int) == [str(n) for n in range(30)]
    assert {event["room_id"] for event in first["chunk"]} == {*rooms, invited}
    assert (await listen(bob, first["end"]))["chunk"] == []
    await alice.post(f"/v3/rooms/{rooms[0]}/kick", {"user_id": BOB})
    [kicked] = (await listen(bob, first["end"]))["chunk"]
    assert kicked["content"]["membership"] == "leave"


async def test_one_who_listens_is_told_at_once(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    end = (await alice.get("/v3/initialSync")).json["end"]

    listening = await begin(server, alice, end)
    await send(alice, room_id, "now")

    assert bodies((await listening)["chunk"]) == ["now"]


async def test_a_guest_listens_to_a_room_that_is_open_to_all(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    key = "m.room.history_visibility"
    await set_state(alice, room_id, key, {"history_visibility": "world_readable"})
    visitor = await guest(server)
    snapshot = (await visitor.get(f"/v3/rooms/{room_id}/initialSync")).json
    end = snapshot["messages"]["end"]

    assert (await listen(visitor, end, room_id=room_id))["chunk"] == []
    listening = await begin(server, visitor, end, room_id=room_id)
    await send(alice, room_id, "seen")
    told = await listening
    assert bodies(told["chunk"]) == ["seen"]

    await set_state(alice, room_id, key, {"history_visibility": "shared"})
    refused = await visitor.get(
        "/v3/events", query={"room_id": room_id, "from": told["end"]}
    )
    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_an_event_is_found_wherever_it_is(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    event_id = await send(alice, await create_room(alice), "mine")

    found = await alice.get(f"/v3/events/{event_id}")

    assert found.json["content"]["body"] == "mine"
    for client, wanted in ((bob, event_id), (alice, "$nothing")):
        refused = await client.get(f"/v3/events/{wanted}")
        assert (refused.status, refused.json["errcode"]) == (404, "M_NOT_FOUND")
