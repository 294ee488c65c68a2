"""CS roomInitialSync, over HTTP."""

from tests.features.rooms import create_room, guest, join, send, set_state
from tests.server import Server

ALICE = "@alice:test"


async def test_a_snapshot_has_state_and_newest_events(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, visibility="public", name="Trees")
    for number in range(3):
        await send(alice, room_id, str(number))

    snapshot = (await alice.get(f"/v3/rooms/{room_id}/initialSync?limit=2")).json

    assert (snapshot["room_id"], snapshot["membership"]) == (room_id, "join")
    assert snapshot["visibility"] == "public"
    chunk = snapshot["messages"]["chunk"]
    assert [event["content"]["body"] for event in chunk] == ["1", "2"]
    assert "m.room.name" in {event["type"] for event in snapshot["state"]}
    earlier = await alice.get(
        f"/v3/rooms/{room_id}/messages",
        query={"dir": "b", "limit": 1, "from": snapshot["messages"]["start"]},
    )
    assert earlier.json["chunk"][0]["content"]["body"] == "0"


async def test_a_snapshot_has_the_users_own_account_data(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client("@bob:test")
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    for client in (alice, bob):
        user_id = client.user_id
        path = f"/v3/user/{user_id}/rooms/{room_id}/account_data/org.test"
        await client.put(path, {"of": user_id})

    snapshot = (await alice.get(f"/v3/rooms/{room_id}/initialSync")).json

    assert snapshot["account_data"] == [{"type": "org.test", "content": {"of": ALICE}}]


async def test_a_guest_looks_into_a_world_readable_room(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    key = "m.room.history_visibility"
    await set_state(alice, room_id, key, {"history_visibility": "world_readable"})
    await send(alice, room_id, "seen")

    visitor = await guest(server)
    snapshot = (await visitor.get(f"/v3/rooms/{room_id}/initialSync")).json

    assert "membership" not in snapshot
    assert snapshot["messages"]["chunk"][-1]["content"]["body"] == "seen"
