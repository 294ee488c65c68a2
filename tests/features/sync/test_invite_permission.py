"""Invitations of users who block them (CS module "Invite permission")."""

from tests.features.rooms import create_room, error_of, member
from tests.features.sync.syncing import sync, token
from tests.http_client import Client
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"


async def set_default_action(client: Client, **config: str) -> None:
    """Block invitations with ``default_action="block"``, else take them."""
    path = f"/v3/user/{BOB}/account_data/m.invite_permission_config"
    assert (await client.put(path, config)).status == 200


async def test_old_invitations_are_hidden_while_they_are_blocked(
    server: Server,
) -> None:
    """ "Invite events already in the database … MUST NOT be served"."""
    alice, bob = server.client(ALICE), server.client(BOB)
    since = await token(bob)
    room_id = await create_room(alice, invite=[BOB])

    await set_default_action(bob, default_action="block")
    hidden = [await sync(bob), await sync(bob, since)]
    await set_default_action(bob)
    shown = await sync(bob)

    assert not any(answer["rooms"].get("invite") for answer in hidden)
    assert set(shown["rooms"]["invite"]) == {room_id}


async def test_who_blocks_invitations_is_not_invited(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    await set_default_action(bob, default_action="block")
    path = f"/v3/rooms/{room_id}/state/m.room.member/{BOB}"

    by_endpoint = await member(alice, room_id, "invite", BOB)
    by_state = await alice.put(path, {"membership": "invite"})
    await set_default_action(bob, default_action="org.example.unknown")

    assert error_of(by_endpoint) == error_of(by_state) == (403, "M_INVITE_BLOCKED")
    assert (await member(alice, room_id, "invite", BOB)).status == 200
