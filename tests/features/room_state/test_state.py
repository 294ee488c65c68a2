"""Reading a room's state and members, over HTTP."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, guest, join, set_state, state
from tests.http_client import Client
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


async def members(client: Client, room_id: str, **query: str) -> set[str]:
    response = await client.get(f"/v3/rooms/{room_id}/members", query=query)
    assert response.status == 200, response.body
    return {event["state_key"] for event in response.json["chunk"]}


async def test_the_whole_state_has_one_event_a_key(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Old")
    await set_state(alice, room_id, "m.room.name", {"name": "New"})

    events = (await alice.get(f"/v3/rooms/{room_id}/state")).json

    keys = [(event["type"], event["state_key"]) for event in events]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {
        ("m.room.create", ""),
        ("m.room.member", ALICE),
        ("m.room.power_levels", ""),
        ("m.room.join_rules", ""),
        ("m.room.history_visibility", ""),
        ("m.room.guest_access", ""),
        ("m.room.name", ""),
    }
    [name] = [e["content"] for e in events if e["type"] == "m.room.name"]
    assert name == {"name": "New"}


async def test_state_is_read_as_content_or_as_an_event(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Name")
    path = f"/v3/rooms/{room_id}/state/m.room.name"

    assert (await alice.get(path)).json == {"name": "Name"}
    assert (await alice.get(f"{path}?format=content")).json == {"name": "Name"}
    event = (await alice.get(f"{path}?format=event")).json
    assert (event["type"], event["state_key"], event["sender"]) == (
        "m.room.name",
        "",
        ALICE,
    )
    odd = await alice.get(f"{path}?format=odd")
    assert error_of(odd) == (400, "M_INVALID_PARAM")
    none = await alice.get(f"/v3/rooms/{room_id}/state/m.room.topic")
    assert error_of(none) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    "path", ["state", "state/m.room.name", "members", "joined_members", "initialSync"]
)
async def test_outsiders_and_invited_users_read_nothing(
    server: Server, path: str
) -> None:
    room_id = await create_room(server.client(ALICE), name="Secret", invite=[BOB])

    for user_id in (BOB, CAROL):
        refused = await server.client(user_id).get(f"/v3/rooms/{room_id}/{path}")
        assert error_of(refused) == (403, "M_FORBIDDEN")
    unknown = await server.client(BOB).get(f"/v3/rooms/!nowhere:test/{path}")
    assert error_of(unknown) == (403, "M_FORBIDDEN")


async def test_a_former_member_reads_the_state_as_they_left_it(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Old")
    await join(bob, room_id)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await set_state(alice, room_id, "m.room.name", {"name": "New"})
    await join(server.client(CAROL), room_id)
    # What happens to them later moves nothing.
    await alice.post(f"/v3/rooms/{room_id}/ban", {"user_id": BOB})

    assert await state(bob, room_id, "m.room.name") == {"name": "Old"}
    events = (await bob.get(f"/v3/rooms/{room_id}/state")).json
    names = [e["content"]["name"] for e in events if e["type"] == "m.room.name"]
    assert names == ["Old"]
    assert await members(bob, room_id) == {ALICE, BOB}
    refused = await bob.get(f"/v3/rooms/{room_id}/joined_members")
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_a_world_readable_room_is_read_by_guests(server: Server) -> None:
    alice, visitor = server.client(ALICE), await guest(server)
    room_id = await create_room(alice, name="Open")
    key = "m.room.history_visibility"
    await set_state(alice, room_id, key, {"history_visibility": "world_readable"})

    assert await state(visitor, room_id, "m.room.name") == {"name": "Open"}
    assert await members(visitor, room_id) == {ALICE}


async def test_members_are_selected_by_membership(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", invite=[CAROL])
    await join(bob, room_id)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})

    assert await members(alice, room_id) == {ALICE, BOB, CAROL}
    assert await members(alice, room_id, membership="join") == {ALICE}
    assert await members(alice, room_id, not_membership="leave") == {ALICE, CAROL}
    either = {"membership": "join", "not_membership": "invite"}
    assert await members(alice, room_id, **either) == {ALICE, BOB}
    odd = await alice.get(f"/v3/rooms/{room_id}/members?membership=odd")
    assert error_of(odd) == (400, "M_INVALID_PARAM")


async def test_members_are_those_at_a_token(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    messages = await alice.get(f"/v3/rooms/{room_id}/messages?dir=b")
    place = messages.json["start"]
    sync_token = (await alice.get("/v3/sync")).json["next_batch"]
    await join(server.client(BOB), room_id)

    for token in (place, sync_token):
        assert await members(alice, room_id, at=token) == {ALICE}
        assert await members(alice, room_id, at=token, membership="join") == {ALICE}
    assert await members(alice, room_id) == {ALICE, BOB}
    odd = await alice.get(f"/v3/rooms/{room_id}/members?at=garbage")
    assert error_of(odd) == (400, "M_INVALID_PARAM")


async def test_joined_members_have_their_profile(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", invite=[CAROL])
    path = f"/v3/profile/{quote(BOB)}/avatar_url"
    await bob.put(path, {"avatar_url": "mxc://test/bob"})
    await join(bob, room_id)

    joined = (await alice.get(f"/v3/rooms/{room_id}/joined_members")).json["joined"]

    assert joined == {
        ALICE: {"display_name": "alice"},
        BOB: {"display_name": "bob", "avatar_url": "mxc://test/bob"},
    }
