"""Invitations between servers: accepted, refused, taken back."""

import pytest

from tests.features.rooms import create_room, error_of, member, send, set_state
from tests.federation.memberships import (
    ALICE,
    BOB,
    CAROL,
    join,
    leave,
    membership,
    rooms,
    state_ids,
    stored_rooms,
    until,
    until_equal,
)
from tests.federation.network import Federation
from tests.http_client import Client
from tests.server import Server

VERSIONS = ["1", "2", "6", "10", "11", "12"]


async def told(client: Client, section: str = "invite") -> dict[str, dict[str, object]]:
    """What a user is told of the only room of a section: contents by type."""
    (entry,) = (await rooms(client, section)).values()
    events = entry[f"{section}_state"]["events"]
    assert all(
        event.keys() == {"type", "state_key", "sender", "content"} for event in events
    )
    return {event["type"]: event["content"] for event in events}


async def waits_for_nothing(client: Client) -> bool:
    return not await rooms(client, "invite")


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_invitation_is_shown_and_accepted(
    alice: Client, bob: Client, two: Server, version: str
) -> None:
    room_id = await create_room(alice, room_version=version, name="Aspens")

    invited = await member(alice, room_id, "invite", BOB, reason="please")

    assert (invited.status, invited.json) == (200, {})
    assert await membership(alice, room_id, BOB) == "invite"
    state = await told(bob)
    assert state["m.room.name"] == {"name": "Aspens"}
    assert state["m.room.create"]["room_version"] == version
    assert state["m.room.member"] == {"membership": "invite", "reason": "please"}
    joined = await bob.get("/v3/joined_rooms")
    assert joined.json == {"joined_rooms": []}
    # The room's ID and its invitation are enough: nobody says who is in it.
    assert (await join(bob, room_id)).status == 200
    assert await state_ids(alice, room_id) == await state_ids(bob, room_id)
    assert await waits_for_nothing(bob)


async def test_an_invitation_wakes_who_waits(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)

    async def is_invited() -> bool:
        return not await waits_for_nothing(bob)

    token = (await bob.get("/v3/sync")).json["next_batch"]
    await member(alice, room_id, "invite", BOB)
    news = (await bob.get("/v3/sync", query={"since": token})).json

    assert list(news["rooms"]["invite"]) == [room_id]
    assert await is_invited()


async def test_an_invitation_is_refused(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)
    token = (await bob.get("/v3/sync")).json["next_batch"]

    assert (await leave(bob, room_id, reason="no time")).status == 200

    news = (await bob.get("/v3/sync", query={"since": token})).json["rooms"]
    (event,) = news["leave"][room_id]["timeline"]["events"]
    assert event["content"] == {"membership": "leave", "reason": "no time"}
    assert await waits_for_nothing(bob)
    assert await membership(alice, room_id, BOB) == "leave"


async def test_a_refused_room_is_forgotten(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)
    path = f"/v3/rooms/{room_id}/forget"
    assert error_of(await bob.post(path, {})) == (400, "M_UNKNOWN")
    await leave(bob, room_id)

    assert (await bob.post(path, {})).status == 200
    assert not await rooms(bob, "leave")


async def test_an_invitation_is_refused_though_its_server_is_gone(
    alice: Client, bob: Client, federation: Federation
) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)
    federation.network.down.add("one.test")

    assert (await leave(bob, room_id)).status == 200

    assert await waits_for_nothing(bob)
    assert list(await rooms(bob, "leave")) == [room_id]
    # Once is enough.
    assert (await leave(bob, room_id)).status == 200


async def test_an_invitation_is_taken_back(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)

    await member(alice, room_id, "kick", BOB, reason="a mistake")

    async def is_withdrawn() -> bool:
        return await waits_for_nothing(bob)

    await until(bob, is_withdrawn)
    (event,) = (await rooms(bob, "leave"))[room_id]["timeline"]["events"]
    assert (event["sender"], event["content"]["membership"]) == (ALICE, "leave")


async def test_who_was_invited_is_banned(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)

    await member(alice, room_id, "ban", BOB)

    async def is_withdrawn() -> bool:
        return await waits_for_nothing(bob)

    await until(bob, is_withdrawn)
    assert error_of(await join(bob, room_id, "one.test")) == (403, "M_FORBIDDEN")


async def test_an_invitation_is_repeated_after_it_was_refused(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)
    await leave(bob, room_id)

    await member(alice, room_id, "invite", BOB)

    assert list(await rooms(bob, "invite")) == [room_id]
    assert (await join(bob, room_id)).status == 200


async def test_a_user_is_invited_to_a_room_that_their_server_is_in(
    alice: Client, bob: Client, two: Server
) -> None:
    """Its server knows the room: nothing is remembered from the outside."""
    dave = two.client("@dave:two.test")
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)
    await join(bob, room_id)
    assert (await dave.get("/v3/sync")).status == 200

    assert (await member(alice, room_id, "invite", "@dave:two.test")).status == 200

    async def is_invited() -> bool:
        return bool(await rooms(dave, "invite"))

    await until(dave, is_invited)
    assert not await two.db.all(
        "SELECT user_id FROM rooms_outside WHERE user_id = :user_id",
        user_id="@dave:two.test",
    )
    assert (await join(dave, room_id)).status == 200
    await until_equal(bob, alice, room_id)


async def test_a_room_with_remote_invitees_is_made(alice: Client, bob: Client) -> None:
    room_id = await create_room(
        alice, invite=[BOB, "@carol:gone.test"], is_direct=True, name="Two of us"
    )

    assert await membership(alice, room_id, BOB) == "invite"
    assert await membership(alice, room_id, "@carol:gone.test") is None
    assert (await told(bob))["m.room.member"]["is_direct"] is True


async def test_an_invitation_by_a_state_event(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)

    content = {"membership": "invite"}
    response = await set_state(alice, room_id, "m.room.member", content, BOB)

    assert response.status == 200
    assert list(await rooms(bob, "invite")) == [room_id]


async def test_nobody_is_invited_to_a_server_that_does_not_answer(
    alice: Client, federation: Federation
) -> None:
    room_id = await create_room(alice)

    response = await member(alice, room_id, "invite", "@eve:gone.test")

    assert error_of(response) == (502, "M_UNKNOWN")
    assert await membership(alice, room_id, "@eve:gone.test") is None


async def test_an_unknown_user_is_not_invited(alice: Client, two: Server) -> None:
    room_id = await create_room(alice)

    response = await member(alice, room_id, "invite", "@nobody:two.test")

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert not await stored_rooms(two)


async def test_who_takes_no_invitations_is_not_invited(
    alice: Client, bob: Client
) -> None:
    path = f"/v3/user/{BOB}/account_data/m.invite_permission_config"
    await bob.put(path, {"default_action": "block"})
    room_id = await create_room(alice)

    response = await member(alice, room_id, "invite", BOB)

    assert error_of(response) == (403, "M_INVITE_BLOCKED")
    assert await membership(alice, room_id, BOB) is None


async def test_no_invitation_leaves_a_room_that_does_not_federate(
    alice: Client, bob: Client, federation: Federation
) -> None:
    room_id = await create_room(alice, creation_content={"m.federate": False})

    response = await member(alice, room_id, "invite", BOB)

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert not federation.network.asked("two.test", "/invite/")


async def test_an_invited_user_who_is_deactivated_refuses(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice)
    await member(alice, room_id, "invite", BOB)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "bob"},
        "password": "correct horse",
    }
    begun = await bob.post("/v3/account/deactivate", {})
    response = await bob.post(
        "/v3/account/deactivate", {"auth": {**auth, "session": begun.json["session"]}}
    )
    assert response.status == 200, response.body

    async def has_refused() -> bool:
        return await membership(alice, room_id, BOB) == "leave"

    await until(alice, has_refused)


async def test_a_banned_and_then_invited_user_comes_back(
    alice: Client, bob: Client
) -> None:
    """After a stay the room is known here, and yet this server is outside."""
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id, "one.test")
    await member(alice, room_id, "ban", BOB)

    async def is_out() -> bool:
        return room_id in await rooms(bob, "leave")

    await until(bob, is_out)
    await member(alice, room_id, "unban", BOB)
    await member(alice, room_id, "invite", BOB)

    assert list(await rooms(bob, "invite")) == [room_id]
    await send(alice, room_id, "welcome back")
    assert (await join(bob, room_id)).status == 200
    assert await state_ids(alice, room_id) == await state_ids(bob, room_id)


async def test_the_inviters_server_passes_the_acceptance_on(
    alice: Client, bob: Client, federation: Federation
) -> None:
    carol = (await federation.start("three.test")).client(CAROL)
    room_id = await create_room(alice)
    for client, user_id in ((bob, BOB), (carol, CAROL)):
        await client.get("/v3/sync")
        await member(alice, room_id, "invite", user_id)
        assert (await join(client, room_id)).status == 200

    await until_equal(carol, bob, room_id)
