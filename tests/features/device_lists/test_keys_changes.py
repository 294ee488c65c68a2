"""CS getKeysChanges, and what `/sync` tells of device lists, over HTTP."""

import pytest

from tests.features.rooms import create_room, join
from tests.server import Server
from tremula.infra.tokens import StreamToken

ALICE = "@alice:test"
BOB = "@bob:test"


async def test_what_sync_tells_is_told_again_to_who_asks_for_changes(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    since = (await alice.get("/v3/sync")).json["next_batch"]
    await join(bob, room_id)

    synced = (await alice.get(f"/v3/sync?since={since}")).json
    assert synced["device_lists"] == {"changed": [BOB], "left": []}
    path = f"/v3/keys/changes?from={since}&to={synced['next_batch']}"
    assert (await alice.get(path)).json == synced["device_lists"]

    assert (await bob.post(f"/v3/rooms/{room_id}/leave", {})).status == 200
    since = synced["next_batch"]
    synced = (await alice.get(f"/v3/sync?since={since}")).json
    assert synced["device_lists"] == {"changed": [], "left": [BOB]}


async def test_a_sync_without_changes_has_no_device_lists(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    first = (await alice.get("/v3/sync")).json
    await alice.put(f"/v3/rooms/{room_id}/state/m.room.topic/", {"topic": "new"})

    second = (await alice.get(f"/v3/sync?since={first['next_batch']}")).json

    assert room_id in second["rooms"]["join"]
    assert "device_lists" not in first
    assert "device_lists" not in second


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ("from=s1", "M_MISSING_PARAM"),
        ("to=s1", "M_MISSING_PARAM"),
        ("from=1&to=s1", "M_INVALID_PARAM"),
        ("from=s1&to=nothing", "M_INVALID_PARAM"),
        (f"from={StreamToken(2**50)}&to=s1", "M_INVALID_PARAM"),
    ],
)
async def test_tokens_that_no_sync_gave_are_refused(
    server: Server, query: str, errcode: str
) -> None:
    response = await server.client(ALICE).get(f"/v3/keys/changes?{query}")

    assert (response.status, response.json["errcode"]) == (400, errcode)


async def test_a_long_poll_ends_when_somebody_new_is_met(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(bob, preset="public_chat")
    since = (await alice.get("/v3/sync")).json["next_batch"]

    await join(alice, room_id)

    synced = (await alice.get(f"/v3/sync?since={since}&timeout=60000")).json
    assert synced["device_lists"]["changed"] == [BOB]
