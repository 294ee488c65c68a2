"""Users whom one ignores, in `/sync` (CS "Ignoring Users")."""

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sync.syncing import bodies, room_of, sync, token
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"
MALLORY = "@mallory:test"


async def _ignore(client: UserClient, *user_ids: str) -> None:
    ignored: dict[str, object] = {user_id: {} for user_id in user_ids}
    path = f"/v3/user/{client.user_id}/account_data/m.ignored_user_list"
    assert (await client.put(path, {"ignored_users": ignored})).status == 200


async def _room_of_all(server: Server) -> str:
    powers = {"state_default": 0, "invite": 0}
    room_id = await create_room(
        server.client(ALICE),
        preset="public_chat",
        power_level_content_override=powers,
    )
    for user_id in (BOB, MALLORY):
        await join(server.client(user_id), room_id)
    return room_id


async def test_messages_of_ignored_users_are_not_shown(server: Server) -> None:
    room_id = await _room_of_all(server)
    alice, bob, mallory = (server.client(u) for u in (ALICE, BOB, MALLORY))
    await _ignore(bob, MALLORY)
    since = await token(bob)
    await send(mallory, room_id, "noise")
    await send(alice, room_id, "hello")

    for answer in (await sync(bob, since), await sync(bob)):
        assert bodies(room_of(answer, room_id)) == ["hello"]
    assert bodies(room_of(await sync(alice, since), room_id)) == ["noise", "hello"]


async def test_a_message_of_an_ignored_user_is_no_news(server: Server) -> None:
    room_id = await _room_of_all(server)
    bob, mallory = server.client(BOB), server.client(MALLORY)
    await _ignore(bob, MALLORY)
    since = await token(bob)

    await send(mallory, room_id, "noise")

    assert (await sync(bob, since, timeout=5))["rooms"] == {}


async def test_others_do_not_share_what_an_ignoring_user_is_shown(
    server: Server,
) -> None:
    """Entries of rooms are built once for many: not for those who ignore."""
    room_id = await _room_of_all(server)
    alice, bob, mallory = (server.client(u) for u in (ALICE, BOB, MALLORY))
    carol = server.client("@carol:test")
    await join(carol, room_id)
    await _ignore(bob, MALLORY)
    since = await token(alice)
    await send(mallory, room_id, "noise")
    await send(carol, room_id, "hello")

    shown = [
        bodies(room_of(await sync(client, since), room_id))
        for client in (bob, alice, bob)
    ]

    assert shown == [["hello"], ["noise", "hello"], ["hello"]]


async def test_state_of_ignored_users_is_shown(server: Server) -> None:
    """ "So that the room does not appear different"."""
    room_id = await _room_of_all(server)
    bob, mallory = server.client(BOB), server.client(MALLORY)
    await _ignore(bob, MALLORY)
    since = await token(bob)

    await set_state(mallory, room_id, "m.room.topic", {"topic": "Mallory's"})

    [event] = room_of(await sync(bob, since), room_id)["timeline"]["events"]
    assert (event["sender"], event["content"]["topic"]) == (MALLORY, "Mallory's")


async def test_receipts_and_typing_of_ignored_users_are_not_shown(
    server: Server,
) -> None:
    room_id = await _room_of_all(server)
    alice, bob, mallory = (server.client(u) for u in (ALICE, BOB, MALLORY))
    event_id = await send(alice, room_id)
    await _ignore(bob, MALLORY)
    since = await token(bob)

    await mallory.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    path = f"/v3/rooms/{room_id}/typing/{MALLORY}"
    await mallory.put(path, {"typing": True, "timeout": 30_000})

    assert MALLORY not in str((await sync(bob, since))["rooms"])
    assert MALLORY in str((await sync(alice, since))["rooms"])


async def test_invites_of_ignored_users_are_dropped(server: Server) -> None:
    bob, mallory = server.client(BOB), server.client(MALLORY)
    await _ignore(bob, MALLORY)
    since = await token(bob)

    await create_room(mallory, invite=[BOB])

    assert (await sync(bob, since, timeout=5))["rooms"] == {}
    assert (await sync(bob))["rooms"] == {}


async def test_being_kicked_by_an_ignored_user_is_news(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await _ignore(bob, ALICE)
    since = await token(bob)

    await member(alice, room_id, "kick", BOB)

    entry = room_of(await sync(bob, since), room_id, "leave")
    assert entry["timeline"]["events"][-1]["content"]["membership"] == "leave"


async def test_the_list_counts_from_the_next_answer_on(server: Server) -> None:
    """What was missed comes with a fresh sync only."""
    room_id = await _room_of_all(server)
    bob, mallory = server.client(BOB), server.client(MALLORY)
    since = await token(bob)
    await send(mallory, room_id, "one")
    await _ignore(bob, MALLORY)
    ignoring = await sync(bob, since)
    await send(mallory, room_id, "two")
    ignored = await sync(bob, ignoring["next_batch"])
    await _ignore(bob)
    await send(mallory, room_id, "three")
    again = await sync(bob, ignored["next_batch"])

    assert ignoring["rooms"] == ignored["rooms"] == {}
    assert bodies(room_of(again, room_id)) == ["three"]
    assert bodies(room_of(await sync(bob), room_id)) == ["one", "two", "three"]
