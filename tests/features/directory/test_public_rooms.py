"""The published room directory, over HTTP (CS "Published room directory")."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, join, set_state
from tests.http_client import Client
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"


async def listed(client: Client, **body: object) -> list[dict[str, Any]]:
    response = await client.post("/v3/publicRooms", body)
    assert response.status == 200, response.body
    chunk: list[dict[str, Any]] = response.json["chunk"]
    return chunk


async def test_an_entry_shows_the_room_as_it_is_now(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(
        alice,
        visibility="public",
        name="Trees",
        topic="Aspens",
        room_alias_name="trees",
        creation_content={"type": "m.space"},
    )
    entry = {
        "room_id": room_id,
        "name": "Trees",
        "topic": "Aspens",
        "canonical_alias": "#trees:test",
        "room_type": "m.space",
        "join_rule": "public",
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
    }
    answer = await server.anonymous.get("/v3/publicRooms")
    assert answer.json == {"chunk": [entry], "total_room_count_estimate": 1}

    key = "m.room.history_visibility"
    await set_state(alice, room_id, key, {"history_visibility": "world_readable"})
    await set_state(alice, room_id, "m.room.guest_access", {"guest_access": "can_join"})
    await set_state(alice, room_id, "m.room.avatar", {"url": "mxc://test/a"})
    await set_state(alice, room_id, "m.room.name", {"name": "Forest"})
    await join(server.client(BOB), room_id)

    changed = {
        **entry,
        "name": "Forest",
        "avatar_url": "mxc://test/a",
        "num_joined_members": 2,
        "world_readable": True,
        "guest_can_join": True,
    }
    assert await listed(alice) == [changed]


async def test_odd_state_of_a_room_does_not_break_the_list(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, visibility="public")
    for event_type in ("m.room.name", "m.room.avatar", "m.room.topic"):
        odd = {"name": ["x"], "url": 7, "topic": {}, "m.topic": [1]}
        assert (await set_state(alice, room_id, event_type, odd)).status == 200

    [entry] = await listed(alice)

    assert entry.keys().isdisjoint({"name", "avatar_url", "topic"})


async def test_the_largest_rooms_come_first_page_by_page(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    for number in range(5):
        room_id = await create_room(alice, visibility="public", name=f"Room {number}")
        if number % 2:
            await join(bob, room_id)

    names: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await alice.get("/v3/publicRooms", query=query)).json
        names += [room["name"] for room in page["chunk"]]
        if "next_batch" not in page:
            break
        query["since"] = page["next_batch"]

    assert set(names[:2]) == {"Room 1", "Room 3"}
    assert set(names[2:]) == {"Room 0", "Room 2", "Room 4"}
    back = (
        await alice.get("/v3/publicRooms", query={"since": page["prev_batch"]})
    ).json
    assert [room["name"] for room in back["chunk"]] == names[:4]


async def test_a_search_is_for_name_topic_alias_and_type(server: Server) -> None:
    alice = server.client(ALICE)
    public = {"visibility": "public"}
    await create_room(alice, **public, name="Quaking Aspen")
    await create_room(alice, **public, name="Oak", topic="not an aspen")
    space = {"creation_content": {"type": "m.space"}}
    await create_room(alice, **public, **space, name="Forest", room_alias_name="aspens")

    async def found(**wanted: object) -> set[str]:
        return {room["name"] for room in await listed(alice, filter=wanted)}

    assert await found(generic_search_term="ASPEN") == {
        "Quaking Aspen",
        "Oak",
        "Forest",
    }
    assert await found(generic_search_term="oak") == {"Oak"}
    assert await found(room_types=["m.space"]) == {"Forest"}
    assert await found(room_types=[None]) == {"Quaking Aspen", "Oak"}
    assert await found(generic_search_term=None, room_types=None) == {
        "Quaking Aspen",
        "Oak",
        "Forest",
    }


async def test_publishing_takes_power(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    path = f"/v3/directory/list/room/{quote(room_id)}"

    refused = await bob.put(path, {"visibility": "public"})
    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert (await server.anonymous.get(path)).json == {"visibility": "private"}

    assert (await alice.put(path, {})).status == 200
    assert (await server.anonymous.get(path)).json == {"visibility": "public"}
    assert len(await listed(bob)) == 1

    assert (await alice.put(path, {"visibility": "private"})).status == 200
    assert (await server.anonymous.get(path)).json == {"visibility": "private"}
    assert await listed(bob) == []

    odd = await alice.put(path, {"visibility": "hidden"})
    assert error_of(odd) == (400, "M_BAD_JSON")
    unknown = "/v3/directory/list/room/!nowhere:test"
    assert error_of(await alice.put(unknown, {})) == (404, "M_NOT_FOUND")
    assert error_of(await server.anonymous.get(unknown)) == (404, "M_NOT_FOUND")


async def test_a_room_that_everyone_left_is_not_listed(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, visibility="public")
    await alice.post(f"/v3/rooms/{room_id}/leave", {})

    assert await listed(alice) == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("limit=0", (400, "M_INVALID_PARAM")),
        ("limit=x", (400, "M_INVALID_PARAM")),
        ("since=garbage", (400, "M_INVALID_PARAM")),
        ("server=else%20where", (400, "M_INVALID_PARAM")),
    ],
)
async def test_a_malformed_query_is_refused(
    server: Server, query: str, error: tuple[int, str]
) -> None:
    assert error_of(await server.anonymous.get(f"/v3/publicRooms?{query}")) == error


@pytest.mark.parametrize(
    "body",
    [
        {"limit": "1"},
        {"filter": []},
        {"filter": {"room_types": "m.space"}},
        {"filter": {"generic_search_term": 7}},
        {"include_all_networks": True, "third_party_instance_id": "irc"},
    ],
)
async def test_a_malformed_search_is_refused(
    server: Server, body: dict[str, Any]
) -> None:
    refused = await server.client(ALICE).post("/v3/publicRooms", body)

    assert error_of(refused) == (400, "M_BAD_JSON")


async def test_a_network_that_is_not_there_has_no_rooms(server: Server) -> None:
    alice = server.client(ALICE)
    await create_room(alice, visibility="public")

    assert await listed(alice, third_party_instance_id="irc") == []
