"""Ignored users, and blocked invitations (CS "Ignoring Users", "Invite permission")."""

from tests.features.rooms import create_room, join, send, set_state
from tests.features.sliding_sync.polling import (
    ALICE,
    BOB,
    CAROL,
    a_list,
    bodies,
    slide,
)
from tests.http_client import Client
from tests.server import Server

LISTS = {"all": a_list()}
EXTENSIONS = {"receipts": {"enabled": True}, "typing": {"enabled": True}}


async def _ignore_carol(bob: Client) -> None:
    path = f"/v3/user/{BOB}/account_data/m.ignored_user_list"
    assert (await bob.put(path, {"ignored_users": {CAROL: {}}})).status == 200


async def _block_invitations(bob: Client, action: str) -> None:
    path = f"/v3/user/{BOB}/account_data/m.invite_permission_config"
    assert (await bob.put(path, {"default_action": action})).status == 200


async def _room_of_all(server: Server) -> str:
    powers = {"state_default": 0}
    room_id = await create_room(
        server.client(ALICE),
        preset="public_chat",
        power_level_content_override=powers,
    )
    for user_id in (BOB, CAROL):
        await join(server.client(user_id), room_id)
    return room_id


async def test_timelines_are_without_messages_of_ignored_users(server: Server) -> None:
    """Also those that came before they were ignored, and longer timelines."""
    room_id = await _room_of_all(server)
    alice, bob, carol = (server.client(u) for u in (ALICE, BOB, CAROL))
    await send(carol, room_id, "old noise")
    await _ignore_carol(bob)
    await send(alice, room_id, "hello")

    short = {"all": a_list(timeline_limit=1)}
    first = await slide(bob, lists=short)
    await send(carol, room_id, "noise")
    await send(alice, room_id, "goodbye")
    second = await slide(bob, first["pos"], lists=short)
    longer = await slide(bob, second["pos"], lists=LISTS)

    assert bodies(first["rooms"][room_id]) == ["hello"]
    assert bodies(second["rooms"][room_id]) == ["goodbye"]
    assert bodies(longer["rooms"][room_id]) == ["hello", "goodbye"]
    others = await slide(alice, lists=LISTS)
    shown = ["old noise", "hello", "noise", "goodbye"]
    assert bodies(others["rooms"][room_id]) == shown


async def test_state_of_ignored_users_is_shown(server: Server) -> None:
    """ "So that the room does not appear different"."""
    room_id = await _room_of_all(server)
    bob, carol = server.client(BOB), server.client(CAROL)
    await _ignore_carol(bob)
    first = await slide(bob, lists=LISTS)

    await set_state(carol, room_id, "m.room.topic", {"topic": "Carol's"})

    second = await slide(bob, first["pos"], lists=LISTS)
    [event] = second["rooms"][room_id]["timeline"]
    assert (event["sender"], event["content"]["topic"]) == (CAROL, "Carol's")


async def test_receipts_and_typing_of_ignored_users_are_not_shown(
    server: Server,
) -> None:
    room_id = await _room_of_all(server)
    alice, bob, carol = (server.client(u) for u in (ALICE, BOB, CAROL))
    event_id = await send(alice, room_id)
    await _ignore_carol(bob)
    first = [
        await slide(client, lists=LISTS, extensions=EXTENSIONS)
        for client in (alice, bob)
    ]

    await carol.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    path = f"/v3/rooms/{room_id}/typing/{CAROL}"
    await carol.put(path, {"typing": True, "timeout": 30_000})

    for_alice, for_bob = [
        await slide(client, before["pos"], lists=LISTS, extensions=EXTENSIONS)
        for client, before in zip((alice, bob), first, strict=True)
    ]
    assert {"receipts", "typing"} <= for_alice["extensions"].keys()
    assert CAROL in str(for_alice["extensions"]["receipts"])
    assert CAROL in str(for_alice["extensions"]["typing"])
    assert CAROL not in str(for_bob["extensions"])
    anew = await slide(bob, lists=LISTS, extensions=EXTENSIONS)
    assert CAROL not in str(anew["extensions"])


async def test_old_invitations_are_hidden_while_they_are_blocked(
    server: Server,
) -> None:
    """ "Invite events already in the database … MUST NOT be served"."""
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    before = await slide(bob, lists=LISTS)
    room_id = await create_room(alice, invite=[BOB])

    await _block_invitations(bob, "block")
    hidden = [
        await slide(bob, lists=LISTS),
        await slide(bob, before["pos"], lists=LISTS),
    ]
    await _block_invitations(bob, "allow")
    shown = await slide(bob, lists=LISTS)

    assert [answer["rooms"] for answer in hidden] == [{}, {}]
    assert [answer["lists"]["all"]["count"] for answer in hidden] == [0, 0]
    assert set(shown["rooms"]) == {room_id}


async def test_a_subscription_to_a_blocked_invitation_shows_nothing(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, invite=[BOB])
    await _block_invitations(bob, "block")

    subscribed = {room_id: {"timeline_limit": 1, "required_state": [["*", "*"]]}}
    answer = await slide(bob, room_subscriptions=subscribed)

    assert answer["rooms"] == {}
