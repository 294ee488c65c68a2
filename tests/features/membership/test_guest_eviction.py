"""Guests leave a room that no longer lets them in (CS module "Guest Access")."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, guest, join, set_state
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"
GUEST_ACCESS = "m.room.guest_access"


async def joined(server: Server, room_id: str) -> int:
    answer = await server.client(ALICE).get(f"/v3/rooms/{room_id}/joined_members")
    return len(answer.json["joined"])


@pytest.mark.parametrize("how", ["forbidden", "redacted"])
async def test_guests_leave_and_others_stay(server: Server, how: str) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    opened = await set_state(alice, room_id, GUEST_ACCESS, {"guest_access": "can_join"})
    await join(server.client(BOB), room_id)
    await join(await guest(server), room_id)
    assert await joined(server, room_id) == 3

    if how == "redacted":
        event_id = quote(opened.json["event_id"], safe="")
        await alice.put(f"/v3/rooms/{room_id}/redact/{event_id}/1", {})
    else:
        await set_state(alice, room_id, GUEST_ACCESS, {"guest_access": "forbidden"})

    query: dict[str, str | int] = {"timeout": 5_000}
    while await joined(server, room_id) > 2:
        query["since"] = (await alice.get("/v3/sync", query=query)).json["next_batch"]
    assert await joined(server, room_id) == 2
