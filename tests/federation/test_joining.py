"""Joining a room of another server, in all room versions that have differences."""

import pytest

from tests.features.rooms import create_room
from tests.federation.network import Federation
from tests.server import Server

ALICE, BOB = "@alice:one.test", "@bob:two.test"


async def two_servers(federation: Federation) -> tuple[Server, Server]:
    return await federation.start("one.test"), await federation.start("two.test")


async def room_state(server: Server, user_id: str, room_id: str) -> dict[str, object]:
    """The whole state as a user of *server* sees it: event IDs by key."""
    response = await server.client(user_id).get(f"/v3/rooms/{room_id}/state")
    assert response.status == 200, response.body
    return {
        f"{event['type']}|{event['state_key']}": event["event_id"]
        for event in response.json
    }


@pytest.mark.parametrize("version", ["1", "2", "3", "6", "8", "10", "11", "12"])
async def test_a_user_joins_a_room_of_another_server(
    federation: Federation, version: str
) -> None:
    one, two = await two_servers(federation)
    room_id = await create_room(
        one.client(ALICE), preset="public_chat", room_version=version, name="Room"
    )

    response = await two.client(BOB).post(
        f"/v3/join/{room_id}", {"reason": "curious"}, query={"via": "one.test"}
    )

    assert (response.status, response.json) == (200, {"room_id": room_id})
    assert await room_state(one, ALICE, room_id) == await room_state(two, BOB, room_id)
    sync = (await two.client(BOB).get("/v3/sync")).json
    assert list(sync["rooms"]["join"]) == [room_id]
