"""Knocking, leaving, kicking and banning between servers; rooms that members of others
may join.
"""

import pytest

from tests.features.rooms import create_room, error_of, member, state
from tests.federation.memberships import (
    ALICE,
    BOB,
    CAROL,
    join,
    knock,
    leave,
    membership,
    rooms,
    state_ids,
    until,
)
from tests.federation.network import Federation
from tests.http_client import Client
from tests.server import Server

VERSIONS = ["7", "10", "11", "12"]


async def room_with_rule(
    client: Client, join_rule: str, version: str, **content: object
) -> str:
    rules = {"join_rule": join_rule, **content}
    return await create_room(
        client,
        room_version=version,
        name="Aspens",
        initial_state=[{"type": "m.room.join_rules", "content": rules}],
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_knock_is_answered_with_an_invitation(
    alice: Client, bob: Client, version: str
) -> None:
    room_id = await room_with_rule(alice, "knock", version)

    response = await knock(bob, room_id, "one.test", reason="let me in")

    assert (response.status, response.json) == (200, {"room_id": room_id})
    content = await state(alice, room_id, "m.room.member", BOB)
    assert content["membership"] == "knock"
    assert content["reason"] == "let me in"
    (entry,) = (await rooms(bob, "knock")).values()
    told = {e["type"]: e["content"] for e in entry["knock_state"]["events"]}
    assert told["m.room.name"] == {"name": "Aspens"}
    assert told["m.room.member"]["membership"] == "knock"
    assert (await member(alice, room_id, "invite", BOB)).status == 200
    assert list(await rooms(bob, "invite")) == [room_id]
    assert (await join(bob, room_id)).status == 200
    assert await state_ids(alice, room_id) == await state_ids(bob, room_id)


async def test_a_knock_is_taken_back(alice: Client, bob: Client) -> None:
    room_id = await room_with_rule(alice, "knock", "11")
    await knock(bob, room_id, "one.test")

    assert (await leave(bob, room_id)).status == 200

    assert await membership(alice, room_id, BOB) == "leave"
    assert list(await rooms(bob, "leave")) == [room_id]


async def test_a_knock_is_refused(alice: Client, bob: Client) -> None:
    room_id = await room_with_rule(alice, "knock", "11")
    await knock(bob, room_id, "one.test")

    await member(alice, room_id, "kick", BOB)

    async def is_refused() -> bool:
        return room_id in await rooms(bob, "leave")

    await until(bob, is_refused)


@pytest.mark.parametrize("join_rule", ["invite", "public"])
async def test_a_room_that_takes_no_knocks_refuses(
    alice: Client, bob: Client, join_rule: str
) -> None:
    room_id = await room_with_rule(alice, join_rule, "11")

    response = await knock(bob, room_id, "one.test")

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert not await rooms(bob, "knock")


@pytest.mark.parametrize("version", ["6", "10", "11", "12"])
async def test_a_user_leaves_and_the_others_see_it(
    alice: Client, bob: Client, version: str
) -> None:
    room_id = await create_room(alice, preset="public_chat", room_version=version)
    await join(bob, room_id, "one.test")

    assert (await leave(bob, room_id)).status == 200

    async def has_left() -> bool:
        return await membership(alice, room_id, BOB) == "leave"

    await until(alice, has_left)


@pytest.mark.parametrize("version", ["6", "10", "11", "12"])
@pytest.mark.parametrize("action", ["kick", "ban"])
async def test_a_user_is_removed_and_sees_it(
    alice: Client, bob: Client, version: str, action: str
) -> None:
    room_id = await create_room(alice, preset="public_chat", room_version=version)
    await join(bob, room_id, "one.test")

    assert (await member(alice, room_id, action, BOB)).status == 200

    async def is_out() -> bool:
        return room_id in await rooms(bob, "leave")

    await until(bob, is_out)
    assert (await bob.get("/v3/joined_rooms")).json == {"joined_rooms": []}


async def test_a_room_whose_other_servers_are_gone_is_left(
    alice: Client, bob: Client, federation: Federation
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id, "one.test")
    federation.network.down.add("one.test")

    assert (await leave(bob, room_id)).status == 200

    assert list(await rooms(bob, "leave")) == [room_id]
    response = await join(bob, room_id, "one.test")
    assert error_of(response) == (502, "M_UNKNOWN")


@pytest.mark.parametrize(
    ("join_rule", "version"),
    [
        ("restricted", "8"),
        ("restricted", "10"),
        ("restricted", "11"),
        ("restricted", "12"),
        ("knock_restricted", "10"),
        ("knock_restricted", "12"),
    ],
)
async def test_members_of_the_other_room_join_a_restricted_one(
    alice: Client, bob: Client, join_rule: str, version: str
) -> None:
    club = await create_room(alice, preset="public_chat")
    allow = [{"type": "m.room_membership", "room_id": club}]
    room_id = await room_with_rule(alice, join_rule, version, allow=allow)

    refused = await join(bob, room_id, "one.test")
    assert error_of(refused) == (403, "M_FORBIDDEN")

    await join(bob, club, "one.test")
    assert (await join(bob, room_id, "one.test")).status == 200
    assert await state_ids(alice, room_id) == await state_ids(bob, room_id)


async def test_another_server_vouches_where_ours_cannot(
    alice: Client, bob: Client, two: Server
) -> None:
    """Our server is in the room, but nobody of ours may invite."""
    club = await create_room(alice, preset="public_chat", room_version="11")
    allow = [{"type": "m.room_membership", "room_id": club}]
    room_id = await create_room(
        alice,
        room_version="11",
        power_level_content_override={"invite": 50},
        initial_state=[
            {
                "type": "m.room.join_rules",
                "content": {"join_rule": "restricted", "allow": allow},
            }
        ],
    )
    await join(bob, club, "one.test")
    assert (await join(bob, room_id, "one.test")).status == 200
    dave = two.client("@dave:two.test")
    await join(dave, club)

    async def alice_knows() -> bool:
        return await membership(alice, club, "@dave:two.test") == "join"

    await until(alice, alice_knows)

    response = await join(dave, room_id)

    assert response.status == 200, response.body
    content = await state(dave, room_id, "m.room.member", "@dave:two.test")
    assert content["join_authorised_via_users_server"] == ALICE


async def test_the_second_server_vouches_for_the_third(
    alice: Client, bob: Client, federation: Federation
) -> None:
    carol = (await federation.start("three.test")).client(CAROL)
    club = await create_room(alice, preset="public_chat", room_version="11")
    allow = [{"type": "m.room_membership", "room_id": club}]
    room_id = await room_with_rule(alice, "restricted", "11", allow=allow)
    for client in (bob, carol):
        assert (await join(client, club, "one.test")).status == 200
    assert (await join(bob, room_id, "one.test")).status == 200

    async def bob_knows() -> bool:
        return await membership(bob, club, CAROL) == "join"

    await until(bob, bob_knows)
    federation.network.separate({"one.test"}, {"three.test"})

    response = await join(carol, room_id, "one.test", "two.test")

    assert response.status == 200, response.body
    content = await state(carol, room_id, "m.room.member", CAROL)
    assert content["join_authorised_via_users_server"] == BOB
