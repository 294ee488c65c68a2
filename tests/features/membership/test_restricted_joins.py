"""Joins by membership of another room (CS "Restricted rooms"), over HTTP."""

import asyncio

import pytest

from tests.features.rooms import create_room, error_of, join, member, set_state, state
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
VIA = "join_authorised_via_users_server"


async def restricted_room(
    server: Server, allowed: str, *, rule: str = "restricted", version: str = "12"
) -> str:
    allow = [{"type": "m.room_membership", "room_id": allowed}]
    return await create_room(
        server.client(ALICE),
        room_version=version,
        initial_state=[
            {
                "type": "m.room.join_rules",
                "content": {"join_rule": rule, "allow": allow},
            }
        ],
    )


@pytest.mark.parametrize(
    ("rule", "version"),
    [
        ("restricted", "8"),
        ("restricted", "11"),
        ("restricted", "12"),
        ("knock_restricted", "10"),
        ("knock_restricted", "12"),
    ],
)
async def test_a_member_of_an_allowed_room_joins(
    server: Server, rule: str, version: str
) -> None:
    bob = server.client(BOB)
    club = await create_room(server.client(ALICE), preset="public_chat")
    room_id = await restricted_room(server, club, rule=rule, version=version)

    refused = await bob.post(f"/v3/rooms/{room_id}/join", {})
    assert error_of(refused) == (403, "M_FORBIDDEN")

    await join(bob, club)
    await join(bob, room_id)
    content = await state(bob, room_id, "m.room.member", BOB)
    assert content == {"membership": "join", "displayname": "bob", VIA: ALICE}


async def test_an_invited_user_needs_no_other_room(server: Server) -> None:
    room_id = await restricted_room(server, "!nowhere:test")
    await member(server.client(ALICE), room_id, "invite", BOB)

    await join(server.client(BOB), room_id)

    assert VIA not in await state(server.client(BOB), room_id, "m.room.member", BOB)


async def test_a_client_cannot_name_who_vouches_for_it(server: Server) -> None:
    """Else anyone could join: the server signs for all of its users."""
    room_id = await restricted_room(server, "!nowhere:test")
    content = {"membership": "join", VIA: ALICE}

    refused = await set_state(
        server.client(BOB), room_id, "m.room.member", content, BOB
    )

    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_a_member_of_an_allowed_room_joins_through_state_too(
    server: Server,
) -> None:
    bob = server.client(BOB)
    club = await create_room(server.client(ALICE), preset="public_chat")
    room_id = await restricted_room(server, club)
    await join(bob, club)

    joined = await set_state(bob, room_id, "m.room.member", {"membership": "join"}, BOB)

    assert joined.status == 200


async def test_nobody_vouches_once_all_who_could_have_left(server: Server) -> None:
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    club = await create_room(alice, preset="public_chat")
    room_id = await restricted_room(server, club)
    levels = await state(alice, room_id, "m.room.power_levels")
    await set_state(alice, room_id, "m.room.power_levels", {**levels, "invite": 50})
    for user in (bob, carol):
        await join(user, club)
    await join(bob, room_id)
    await alice.post(f"/v3/rooms/{room_id}/leave", {})

    refused = await carol.post(f"/v3/rooms/{room_id}/join", {})

    assert error_of(refused) == (400, "M_UNABLE_TO_AUTHORISE_JOIN")


@pytest.mark.parametrize("through_state", [False, True])
async def test_another_one_vouches_if_the_first_leaves_at_that_moment(
    server: Server, through_state: bool
) -> None:
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    club = await create_room(alice, preset="public_chat")
    room_id = await restricted_room(server, club)
    for user in (bob, carol):
        await join(user, club)
    await join(bob, room_id)

    left, joined = await asyncio.gather(
        alice.post(f"/v3/rooms/{room_id}/leave", {}),
        set_state(carol, room_id, "m.room.member", {"membership": "join"}, CAROL)
        if through_state
        else carol.post(f"/v3/rooms/{room_id}/join", {}),
    )

    assert (left.status, joined.status) == (200, 200)
    content = await state(bob, room_id, "m.room.member", CAROL)
    assert content[VIA] in {ALICE, BOB}


async def test_whoever_leaves_at_that_moment_can_be_missed(server: Server) -> None:
    """Who is left may not vouch: unless the join came first, users are told so."""
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    club = await create_room(alice, preset="public_chat")
    room_id = await restricted_room(server, club)
    levels = await state(alice, room_id, "m.room.power_levels")
    await set_state(alice, room_id, "m.room.power_levels", {**levels, "invite": 50})
    for user in (bob, carol):
        await join(user, club)
    await join(bob, room_id)

    _, joined = await asyncio.gather(
        alice.post(f"/v3/rooms/{room_id}/leave", {}),
        carol.post(f"/v3/rooms/{room_id}/join", {}),
    )

    assert joined.status == 200 or (
        error_of(joined) == (400, "M_UNABLE_TO_AUTHORISE_JOIN")
    )


@pytest.mark.parametrize(
    "allow",
    [None, "all", [7], [{"type": "m.room_membership"}], [{"room_id": "!a:test"}]],
)
async def test_malformed_conditions_let_nobody_in(
    server: Server, allow: object
) -> None:
    rules = {"join_rule": "restricted", "allow": allow}
    room_id = await create_room(
        server.client(ALICE),
        initial_state=[{"type": "m.room.join_rules", "content": rules}],
    )

    refused = await server.client(BOB).post(f"/v3/rooms/{room_id}/join", {})

    assert error_of(refused) == (403, "M_FORBIDDEN")
