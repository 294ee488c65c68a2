"""Users whose accounts are closed, perhaps while they come into a room."""

import pytest

from tests.features.rooms import create_room, error_of
from tests.server import Server
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

ALICE = "@alice:test"
BOB = UserId("@bob:test")


@pytest.mark.one_process(reason="it lets one process look too slowly")
@pytest.mark.parametrize(
    ("operation", "join_rule"), [("join", "public"), ("knock", "knock")]
)
async def test_who_is_deactivated_meanwhile_is_not_left_in_the_room(
    server: Server, monkeypatch: pytest.MonkeyPatch, operation: str, join_rule: str
) -> None:
    """All rooms were left before this one was entered; nobody could leave it."""
    alice, bob = server.client(ALICE), server.client(BOB)
    rule = {"type": "m.room.join_rules", "content": {"join_rule": join_rule}}
    room_id = await create_room(alice, initial_state=[rule])
    assert (await bob.get("/v3/account/whoami")).status == 200
    find_room = RoomReader.find_room

    async def slowly(self: RoomReader, room_id: RoomId) -> RoomView | None:
        monkeypatch.setattr(RoomReader, "find_room", find_room)
        view = await find_room(self, room_id)
        await server.app.accounts.deactivate(BOB)
        return view

    monkeypatch.setattr(RoomReader, "find_room", slowly)
    refused = await bob.post(f"/v3/{operation}/{room_id}", {})

    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")
    path = f"/v3/rooms/{room_id}/state/m.room.member/{BOB}"
    assert (await alice.get(path)).json["membership"] == "leave"


async def test_who_has_closed_their_account_is_not_invited(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    assert (await bob.get("/v3/account/whoami")).status == 200
    await server.app.accounts.deactivate(BOB)
    path = f"/v3/rooms/{room_id}/state/m.room.member/{BOB}"

    invited = await alice.post(f"/v3/rooms/{room_id}/invite", {"user_id": BOB})
    set_by_state = await alice.put(path, {"membership": "invite"})
    with_room = await alice.post("/v3/createRoom", {"invite": [BOB]})

    assert error_of(invited) == (403, "M_FORBIDDEN")
    assert error_of(set_by_state) == (403, "M_FORBIDDEN")
    assert error_of(with_room) == (403, "M_FORBIDDEN")
    assert (await alice.get(path)).status == 404
    joined = (await alice.get("/v3/joined_rooms")).json["joined_rooms"]
    assert joined == [room_id]
