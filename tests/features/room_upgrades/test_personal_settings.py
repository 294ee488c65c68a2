"""What users have set for a room, after its upgrade (CS "Room Upgrades"), over HTTP."""

from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, join, set_state
from tests.features.sync.syncing import sync
from tests.server import Server, UserClient

ALICE, BOB = "@alice:test", "@bob:test"
FAVOURITE: Final = {"m.favourite": {"order": 0.5}}


async def set_tags(user: UserClient, room_id: str, tags: object) -> None:
    """Replace all tags of a room."""
    path = f"/v3/user/{user.user_id}/rooms/{quote(room_id)}/account_data/m.tag"
    assert (await user.put(path, {"tags": tags})).status == 200


async def tags_of(user: UserClient, room_id: str) -> dict[str, Any]:
    """The tags of a room."""
    path = f"/v3/user/{user.user_id}/rooms/{quote(room_id)}/tags"
    tags: dict[str, Any] = (await user.get(path)).json["tags"]
    return tags


async def set_direct(user: UserClient, content: object) -> None:
    """Set which rooms are direct chats."""
    path = f"/v3/user/{user.user_id}/account_data/m.direct"
    assert (await user.put(path, content)).status == 200


async def direct_chats(user: UserClient) -> dict[str, Any]:
    """Which rooms are direct chats."""
    path = f"/v3/user/{user.user_id}/account_data/m.direct"
    content: dict[str, Any] = (await user.get(path)).json
    return content


async def favourite_of_both(alice: UserClient, bob: UserClient) -> str:
    """A public room, a favourite of both of its members."""
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    for user in (alice, bob):
        await set_tags(user, room_id, FAVOURITE)
    return room_id


async def upgrade(user: UserClient, room_id: str) -> str:
    """Upgrade a room; the successor's ID."""
    response = await user.post(f"/v3/rooms/{room_id}/upgrade", {"new_version": "12"})
    assert response.status == 200, response.body
    successor_id: str = response.json["replacement_room"]
    return successor_id


async def follow(user: UserClient, successor_id: str) -> None:
    """Join a successor whose predecessor has tags, and wait until they are here."""
    since = (await sync(user))["next_batch"]
    await join(user, successor_id)
    while not await tags_of(user, successor_id):
        since = (await sync(user, since, timeout=10_000))["next_batch"]


async def test_tags_go_with_whoever_joins(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await favourite_of_both(alice, bob)

    successor_id = await upgrade(alice, room_id)
    # She is joined already; he has yet to come.
    assert await tags_of(alice, successor_id) == FAVOURITE
    await follow(bob, successor_id)

    assert await tags_of(bob, successor_id) == FAVOURITE
    assert await tags_of(bob, room_id) == FAVOURITE


async def test_a_direct_chat_stays_one(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await favourite_of_both(alice, bob)
    # Clients may store anything there.
    odd = {"@carol:test": ["!other:test"], "x": 1, "y": {room_id: 1}}
    await set_direct(alice, {BOB: ["!other:test", room_id], **odd})

    successor_id = await upgrade(alice, room_id)

    chats = {BOB: ["!other:test", room_id, successor_id], **odd}
    assert await direct_chats(alice) == chats


async def test_settings_of_the_successor_are_not_overwritten(server: Server) -> None:
    """Neither tags that are there, nor that there are none any more."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await favourite_of_both(alice, bob)
    await set_direct(bob, {ALICE: [room_id]})
    successor_id = await upgrade(alice, room_id)
    await follow(bob, successor_id)

    await set_tags(bob, successor_id, {})
    await set_direct(bob, {ALICE: [room_id]})
    renamed = {"membership": "join", "displayname": "B."}
    changed = await set_state(bob, successor_id, "m.room.member", renamed, BOB)
    assert changed.status == 200
    # Joins are looked at in their order: the next one comes after that.
    await follow(bob, await upgrade(alice, await favourite_of_both(alice, bob)))

    assert await tags_of(bob, successor_id) == {}
    assert await direct_chats(bob) == {ALICE: [room_id]}


@pytest.mark.parametrize("claim", ["room", "unknown room", "nonsense"])
async def test_a_room_only_claims_to_be_the_successor(
    server: Server, claim: str
) -> None:
    """Not every room that names a predecessor has been named by it."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await favourite_of_both(alice, bob)
    predecessors: dict[str, object] = {
        "room": {"room_id": room_id, "event_id": "$x"},
        "unknown room": {"room_id": "!unknown:test", "event_id": "$x"},
        "nonsense": {"room_id": [room_id]},
    }
    impostor_id = await create_room(
        alice,
        preset="public_chat",
        creation_content={"predecessor": predecessors[claim]},
    )

    await join(bob, impostor_id)
    await follow(bob, await upgrade(alice, await favourite_of_both(alice, bob)))

    assert await tags_of(bob, impostor_id) == {}


async def test_a_muted_room_stays_muted(server: Server) -> None:
    """By a rule for the room, or by an override for it, as clients mute."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await favourite_of_both(alice, bob)
    path = f"/v3/pushrules/global/{{kind}}/{quote(room_id)}"
    condition = {"kind": "event_match", "key": "room_id", "pattern": room_id}
    override = {"actions": [], "conditions": [condition]}
    await alice.put(path.format(kind="override"), override)
    await alice.put(path.format(kind="room"), {"actions": []})

    successor_id = await upgrade(alice, room_id)

    rules = (await alice.get("/v3/pushrules/global/")).json
    assert [rule["rule_id"] for rule in rules["room"]] == [room_id, successor_id]
    [muting] = [rule for rule in rules["override"] if rule["rule_id"] == successor_id]
    assert muting["conditions"] == [{**condition, "pattern": successor_id}]
