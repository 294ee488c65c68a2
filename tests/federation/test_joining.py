"""Joining rooms of other servers, as a client asks for it."""

import pytest

from tests.features.rooms import create_room, error_of, member, send, set_state, state
from tests.federation.memberships import (
    BOB,
    CAROL,
    join,
    leave,
    membership,
    rooms,
    state_ids,
    until,
    until_equal,
)
from tests.federation.network import Federation
from tests.http_client import Client
from tests.server import Server
from tremula.infra.config import Federation as FederationConfig

VERSIONS = ["1", "2", "3", "6", "8", "10", "11", "12"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_user_joins_a_room_of_another_server(
    alice: Client, bob: Client, version: str
) -> None:
    room_id = await create_room(
        alice, preset="public_chat", room_version=version, name="Room"
    )

    response = await join(bob, room_id, "one.test", reason="curious")

    assert (response.status, response.json) == (200, {"room_id": room_id})
    assert await state_ids(alice, room_id) == await state_ids(bob, room_id)
    content = await state(alice, room_id, "m.room.member", BOB)
    assert content == {
        "membership": "join",
        "displayname": "bob",
        "reason": "curious",
    }
    assert list(await rooms(bob, "join")) == [room_id]


async def test_what_is_sent_then_comes_to_both(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id, "one.test")
    await set_state(alice, room_id, "m.room.topic", {"topic": "aspens"})

    await until_equal(alice, bob, room_id)
    await send(bob, room_id, "hello")

    async def is_there() -> bool:
        messages = await alice.get(f"/v3/rooms/{room_id}/messages?dir=b&limit=1")
        return bool(messages.json["chunk"][0]["content"].get("body") == "hello")

    await until(alice, is_there)


async def test_a_room_is_joined_by_its_alias(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat", room_alias_name="trees")

    response = await join(bob, "#trees:one.test")

    assert (response.status, response.json) == (200, {"room_id": room_id})


async def test_server_name_means_via(alice: Client, bob: Client) -> None:
    """The older name of the parameter."""
    room_id = await create_room(alice, preset="public_chat")

    path = f"/v3/join/{room_id}"
    response = await bob.post(path, {}, query={"server_name": "one.test"})

    assert response.status == 200


async def test_a_second_user_needs_no_handshake(
    alice: Client, two: Server, federation: Federation
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    bob = two.client(BOB)
    await join(bob, room_id, "one.test")
    # Until all members are known, one that is banned might come in.
    assert (await bob.get(f"/v3/rooms/{room_id}/members")).status == 200
    asked = len(federation.network.asked("one.test", "/make_join/"))

    response = await join(two.client("@dave:two.test"), room_id)

    assert response.status == 200
    assert len(federation.network.asked("one.test", "/make_join/")) == asked


async def test_servers_are_tried_until_one_helps(
    alice: Client, bob: Client, federation: Federation
) -> None:
    await federation.start("three.test")
    federation.network.down.add("four.test")
    room_id = await create_room(alice, preset="public_chat")

    response = await join(bob, room_id, "four.test", "three.test", "one.test")

    assert response.status == 200
    asked = [
        letter.destination
        for letter in federation.network.letters
        if "/make_join/" in letter.path
    ]
    assert asked == ["four.test", "three.test", "one.test"]


async def test_no_more_servers_are_tried_than_somebody_would_wait_for(
    bob: Client, federation: Federation
) -> None:
    via = [f"s{number}.test" for number in range(50)]

    response = await join(bob, "!room:one.test", *via)

    assert error_of(response) == (502, "M_UNKNOWN")
    assert len({letter.destination for letter in federation.network.letters}) == 10


async def test_the_join_is_passed_on_to_the_other_servers(
    alice: Client, bob: Client, federation: Federation
) -> None:
    three = await federation.start("three.test")
    carol = three.client(CAROL)
    room_id = await create_room(alice, preset="public_chat")
    await join(carol, room_id, "one.test")

    await join(bob, room_id, "one.test")

    async def carol_knows() -> bool:
        return await membership(carol, room_id, BOB) == "join"

    await until(carol, carol_knows)


async def test_the_third_server_is_joined_through_the_second(
    alice: Client, bob: Client, federation: Federation
) -> None:
    carol = (await federation.start("three.test")).client(CAROL)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id, "one.test")

    response = await join(carol, room_id, "two.test")

    assert response.status == 200
    assert await state_ids(carol, room_id) == await state_ids(bob, room_id)
    await until_equal(carol, alice, room_id)


@pytest.mark.parametrize(
    ("room", "error"),
    [
        ("!nowhere:one.test", (404, "M_NOT_FOUND")),
        ("!nowhere:down.test", (502, "M_UNKNOWN")),
        ("!nowhere:two.test", (404, "M_NOT_FOUND")),
        ("#nowhere:one.test", (404, "M_NOT_FOUND")),
        ("nowhere", (404, "M_NOT_FOUND")),
    ],
)
async def test_a_room_that_nobody_knows_is_not_found(
    one: Server, bob: Client, room: str, error: tuple[int, str]
) -> None:
    assert error_of(await join(bob, room)) == error


async def test_who_is_not_invited_is_refused(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice)

    response = await join(bob, room_id, "one.test")

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert not await rooms(bob, "join")


async def test_who_is_banned_is_refused(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await member(alice, room_id, "ban", BOB)

    assert error_of(await join(bob, room_id, "one.test")) == (403, "M_FORBIDDEN")


async def test_a_room_that_does_not_federate_lets_nobody_in(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(
        alice, preset="public_chat", creation_content={"m.federate": False}
    )

    assert error_of(await join(bob, room_id, "one.test")) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("denied", ["two.test", "TWO.*"])
async def test_a_server_that_the_acl_denies_is_refused(
    alice: Client, bob: Client, denied: str
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    acl = {"allow": ["*"], "deny": [denied]}
    await set_state(alice, room_id, "m.room.server_acl", acl)

    assert error_of(await join(bob, room_id, "one.test")) == (403, "M_FORBIDDEN")


async def test_guests_join_no_rooms_of_other_servers(
    alice: Client, two: Server
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    made = await two.anonymous.post("/v3/register?kind=guest", {})
    guest = Client(two.http, made.json["access_token"])

    path = f"/v3/rooms/{room_id}/join"
    response = await guest.post(path, {}, query={"via": "one.test"})

    assert error_of(response) == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_a_room_is_joined_again_after_all_have_left(
    alice: Client, bob: Client
) -> None:
    """What has changed meanwhile is known, and what was before still is."""
    room_id = await create_room(alice, preset="public_chat", name="Before")
    await join(bob, room_id, "one.test")
    await send(bob, room_id, "first stay")
    assert (await leave(bob, room_id)).status == 200

    async def bob_has_left() -> bool:
        return await membership(alice, room_id, BOB) == "leave"

    await until(alice, bob_has_left)
    await set_state(alice, room_id, "m.room.name", {"name": "Meanwhile"})

    response = await join(bob, room_id, "one.test")

    assert response.status == 200, response.body
    assert await state(bob, room_id, "m.room.name") == {"name": "Meanwhile"}
    assert await state_ids(alice, room_id) == await state_ids(bob, room_id)
    entry = (await rooms(bob, "join"))[room_id]
    assert entry["timeline"]["events"][-1]["state_key"] == BOB


async def test_without_federation_nobody_is_asked(
    alice: Client, federation: Federation
) -> None:
    island = await federation.start(
        "island.test", federation=FederationConfig(enabled=False)
    )
    room_id = await create_room(alice, preset="public_chat")

    response = await join(island.client("@eve:island.test"), room_id, "one.test")

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert not federation.network.asked("one.test", "/make_join/")
