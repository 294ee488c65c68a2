"""Rooms that name an upgraded room, over HTTP."""

from typing import Any

from tests.features.room_upgrades.test_upgrade_room import upgrade
from tests.features.rooms import create_room, join, set_state, state
from tests.http_client import Client
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"
CHILD, JOIN_RULES = "m.space.child", "m.room.join_rules"


async def create_space(client: Client, **body: object) -> str:
    return await create_room(client, creation_content={"type": "m.space"}, **body)


def restricted(*room_ids: str) -> dict[str, Any]:
    rules = [{"type": "m.room_membership", "room_id": each} for each in room_ids]
    return {"join_rule": "restricted", "allow": rules}


async def children(client: Client, space_id: str) -> dict[str, Any]:
    events = (await client.get(f"/v3/rooms/{space_id}/state")).json
    return {
        event["state_key"]: event["content"]
        for event in events
        if event["type"] == CHILD and event["content"]
    }


async def test_a_space_lists_the_successor_where_it_listed_the_room(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    space_id, other_id = await create_space(alice), await create_space(alice)
    room_id = await create_room(alice)
    child = {"via": ["elsewhere", "test"], "order": "b", "suggested": True}
    await set_state(alice, space_id, CHILD, child, room_id)
    await set_state(alice, space_id, CHILD, {"via": ["test"]}, "!kept:test")
    await set_state(alice, other_id, CHILD, {}, room_id)

    successor_id = await upgrade(alice, room_id, "12")

    assert await children(alice, space_id) == {
        successor_id: {**child, "via": ["test"]},
        "!kept:test": {"via": ["test"]},
    }
    assert await children(alice, other_id) == {}


async def test_what_members_of_a_space_may_join_those_of_its_successor_may(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    space_id = await create_space(alice, preset="public_chat")
    room_id, other_id = await create_room(alice), await create_room(alice)
    await set_state(alice, room_id, JOIN_RULES, restricted(space_id, "!x:test"))
    await set_state(alice, other_id, JOIN_RULES, restricted("!x:test"))

    successor_id = await upgrade(alice, space_id, "12")

    widened = restricted(space_id, "!x:test", successor_id)
    assert await state(alice, room_id, JOIN_RULES) == widened
    assert await state(alice, other_id, JOIN_RULES) == restricted("!x:test")
    await join(bob, successor_id)
    await join(bob, room_id)


async def test_rooms_that_the_user_may_not_change_stay_as_they_are(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    space_id = await create_space(bob, preset="public_chat")
    guarded_id = await create_room(bob, preset="public_chat")
    await join(alice, space_id)
    await join(alice, guarded_id)
    await set_state(bob, space_id, CHILD, {"via": ["test"]}, room_id)
    await set_state(bob, guarded_id, JOIN_RULES, restricted(room_id))

    await upgrade(alice, room_id, "12")

    assert await children(bob, space_id) == {room_id: {"via": ["test"]}}
    assert await state(bob, guarded_id, JOIN_RULES) == restricted(room_id)


async def test_join_rules_that_are_malformed_are_no_obstacle(server: Server) -> None:
    alice = server.client(ALICE)
    room_id, odd_id = await create_room(alice), await create_room(alice)
    odd = {"join_rule": "restricted", "allow": [room_id, {"room_id": [room_id]}, None]}
    await set_state(alice, odd_id, JOIN_RULES, odd)

    await upgrade(alice, room_id, "12")

    assert await state(alice, odd_id, JOIN_RULES) == odd
