"""Rooms that the user is invited to, knocks on, has left or was thrown out of."""

from typing import Any

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sliding_sync.polling import (
    ALICE,
    BOB,
    CAROL,
    Answer,
    a_list,
    bodies,
    keys,
    slide,
)
from tests.features.sync.syncing import members
from tests.server import Server, UserClient

LISTS = {"all": a_list(required_state=[["*", "*"], ["m.room.member", "$LAZY"]])}


async def _slide(client: UserClient, pos: str | None = None) -> Answer:
    return await slide(client, pos, lists=LISTS)


def _own(room: dict[str, Any], user_id: str) -> str:
    """What the room's state says the user is."""
    [own] = [
        event["content"]["membership"]
        for event in room["required_state"]
        if (event["type"], event["state_key"]) == ("m.room.member", user_id)
    ]
    assert isinstance(own, str)
    return own


async def test_an_invitation_has_stripped_state_and_nothing_else(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, name="Home", invite=[BOB])
    await send(alice, room_id, "secret")

    first = await _slide(bob)
    second = await _slide(bob, first["pos"])
    await join(bob, room_id)
    third = await _slide(bob, second["pos"])

    room = first["rooms"][room_id]
    assert set(room) == {"initial", "bump_stamp", "invite_state"}
    assert ("m.room.name", "") in keys(room["invite_state"])
    assert BOB in members(room["invite_state"])
    assert all("event_id" not in event for event in room["invite_state"])
    assert second["rooms"] == {}
    assert third["rooms"][room_id]["initial"] is True
    assert third["rooms"][room_id]["name"] == "Home"


async def test_activity_in_a_room_does_not_show_in_an_invitation(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    invited = await create_room(alice, invite=[BOB])
    own = await create_room(bob)
    await send(alice, invited)

    answer = await slide(bob, lists={"all": a_list(0, 0)})

    assert set(answer["rooms"]) == {own}


async def test_a_refused_invitation_is_told_once_and_is_gone(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, invite=[BOB], name="Home")
    first = await _slide(bob)

    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    second = await _slide(bob, first["pos"])
    third = await _slide(bob, second["pos"])
    fresh = await _slide(bob)

    room = second["rooms"][room_id]
    assert _own(room, BOB) == "leave"
    assert keys(room["required_state"]) == {("m.room.member", BOB)}
    assert "name" not in room
    assert third["lists"]["all"]["count"] == fresh["lists"]["all"]["count"] == 0


async def test_an_invitation_that_is_taken_back_is_told_as_such(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, invite=[BOB])
    first = await _slide(bob)

    await member(alice, room_id, "kick", BOB)
    second = await _slide(bob, first["pos"])
    third = await _slide(bob, second["pos"])
    fresh = await _slide(bob)

    assert _own(second["rooms"][room_id], BOB) == "leave"
    assert third["rooms"] == fresh["rooms"] == {}
    assert third["lists"]["all"]["count"] == fresh["lists"]["all"]["count"] == 0


async def test_a_knock_is_shown_with_what_is_told_of_the_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    rule = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = await create_room(alice, initial_state=[rule], name="Home")
    response = await bob.post(f"/v3/knock/{room_id}", {})
    assert response.status == 200, response.body

    answer = await _slide(bob)

    [own] = [
        event
        for event in answer["rooms"][room_id]["invite_state"]
        if event["state_key"] == BOB
    ]
    assert own["content"]["membership"] == "knock"


async def test_nothing_is_told_of_a_room_after_leaving(server: Server) -> None:
    """Neither events, state, counts nor its place in the list."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Home")
    await join(bob, room_id)
    first = await _slide(bob)
    await send(alice, room_id, "heard")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await send(alice, room_id, "secret")
    await set_state(alice, room_id, "m.room.name", {"name": "Secret"})

    left = await _slide(bob, first["pos"])
    await send(alice, room_id, "secret")
    after = await _slide(bob, left["pos"])
    fresh = await slide(
        bob,
        lists=LISTS,
        room_subscriptions={room_id: {"timeline_limit": 9, "required_state": []}},
    )

    room = left["rooms"][room_id]
    assert bodies(room) == ["heard"]
    assert room["timeline"][-1]["content"]["membership"] == "leave"
    assert _own(room, BOB) == "leave"
    assert "Secret" not in str(left)
    assert "joined_count" not in room
    assert after["rooms"] == fresh["rooms"] == {}
    assert after["lists"]["all"]["count"] == 0


async def test_who_was_thrown_out_is_told_also_on_a_new_connection(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Home")
    await join(bob, room_id)
    first = await _slide(bob)
    await send(alice, room_id, "heard")
    await member(alice, room_id, "ban", BOB, reason="noise")
    await send(alice, room_id, "secret")
    await set_state(alice, room_id, "m.room.name", {"name": "Secret"})

    known = await _slide(bob, first["pos"])
    after = await _slide(bob, known["pos"])
    fresh = await _slide(bob)

    for answer in (known, fresh):
        room = answer["rooms"][room_id]
        assert bodies(room) == ["heard"]
        assert _own(room, BOB) == "ban"
        assert "Secret" not in str(answer)
    assert fresh["rooms"][room_id]["initial"] is True
    assert fresh["rooms"][room_id]["name"] == "Home"
    assert after["rooms"] == {}
    assert after["lists"]["all"]["count"] == 1


async def test_a_room_that_is_forgotten_is_gone(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    first = await _slide(bob)
    await member(alice, room_id, "kick", BOB)
    known = await _slide(bob, first["pos"])

    await bob.post(f"/v3/rooms/{room_id}/forget", {})

    assert (await _slide(bob, known["pos"]))["lists"]["all"]["count"] == 0
    assert (await _slide(bob))["rooms"] == {}


async def test_other_devices_learn_that_a_forgotten_room_was_left(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    first = await _slide(bob)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await bob.post(f"/v3/rooms/{room_id}/forget", {})

    second = await _slide(bob, first["pos"])
    third = await _slide(bob, second["pos"])

    assert _own(second["rooms"][room_id], BOB) == "leave"
    assert third["lists"]["all"]["count"] == 0


async def test_whoever_comes_back_begins_anew_with_the_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    first = await _slide(bob)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    second = await _slide(bob, first["pos"])
    await join(bob, room_id)
    third = await _slide(bob, second["pos"])

    room = third["rooms"][room_id]
    assert room["initial"] is True
    assert ("m.room.create", "") in keys(room["required_state"])


async def test_a_ban_of_somebody_who_never_came_is_not_told(server: Server) -> None:
    alice, carol = server.client(ALICE), server.client(CAROL)
    await carol.get("/v3/account/whoami")
    room_id = await create_room(alice, preset="public_chat")

    await member(alice, room_id, "ban", CAROL)

    assert (await _slide(carol))["lists"]["all"]["count"] == 0


async def test_invitations_from_ignored_users_are_not_shown(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    path = f"/v3/user/{BOB}/account_data/m.ignored_user_list"
    await bob.put(path, {"ignored_users": {ALICE: {}}})
    await create_room(alice, invite=[BOB])

    assert (await _slide(bob))["lists"]["all"]["count"] == 0
