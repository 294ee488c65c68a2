"""The summary of rooms in `/sync`: counts and heroes."""

from typing import Any

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sync.syncing import room_of, sync, token
from tests.server import Server

ALICE = "@alice:test"
BOB = "@bob:test"


def _summary(joined: int, invited: int, heroes: list[str]) -> dict[str, Any]:
    counts = {"m.joined_member_count": joined, "m.invited_member_count": invited}
    return {**counts, "m.heroes": heroes} if heroes else counts


async def test_a_summary_counts_members_and_names_the_others(server: Server) -> None:
    """Never the user's own ID."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", invite=["@carol:test"])
    await join(bob, room_id)

    of_alice = room_of(await sync(alice), room_id)["summary"]
    of_bob = room_of(await sync(bob), room_id)["summary"]

    assert of_alice == _summary(2, 1, ["@carol:test", BOB])
    assert of_bob == _summary(2, 1, [ALICE, "@carol:test"])


async def test_the_heroes_are_the_first_five_others(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    users = [f"@user{number}:test" for number in range(7)]
    for user_id in users:
        await join(server.client(user_id), room_id)

    summary = room_of(await sync(alice), room_id)["summary"]

    assert summary == _summary(8, 0, users[:5])


async def test_a_summary_comes_again_only_when_it_has_changed(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    since = await token(alice)

    await send(alice, room_id)
    quiet = await sync(alice, since)
    await set_state(alice, room_id, "m.room.topic", {"topic": "Trees"})
    topic = await sync(alice, quiet["next_batch"])
    await join(bob, room_id)
    joined = await sync(alice, topic["next_batch"])
    await member(alice, room_id, "kick", BOB)
    kicked = await sync(alice, joined["next_batch"])

    assert "summary" not in room_of(quiet, room_id)
    assert "summary" not in room_of(topic, room_id)
    assert room_of(joined, room_id)["summary"] == _summary(2, 0, [BOB])
    assert room_of(kicked, room_id)["summary"]["m.joined_member_count"] == 1


async def test_who_is_alone_sees_who_was_there(server: Server) -> None:
    """ "When no joined or invited members are available": those who left."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", invite=["@carol:test"])
    await join(bob, room_id)
    await member(alice, room_id, "kick", "@carol:test")
    await member(alice, room_id, "ban", BOB)

    summary = room_of(await sync(alice), room_id)["summary"]

    assert summary["m.joined_member_count"] == 1
    assert set(summary["m.heroes"]) == {BOB, "@carol:test"}


async def test_a_room_with_a_name_has_no_heroes(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Trees")
    await join(bob, room_id)

    assert room_of(await sync(alice), room_id)["summary"] == _summary(2, 0, [])


async def test_a_room_that_loses_its_name_gets_heroes(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Trees")
    await join(bob, room_id)
    since = await token(bob)

    await set_state(alice, room_id, "m.room.name", {})

    entry = room_of(await sync(bob, since), room_id)
    assert entry["summary"] == _summary(2, 0, [ALICE])


async def test_changes_in_a_gap_are_in_the_summary(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    since = await token(alice)
    await join(bob, room_id)
    for _ in range(12):
        await send(bob, room_id)

    entry = room_of(await sync(alice, since), room_id)

    assert entry["timeline"]["limited"] is True
    assert entry["summary"] == _summary(2, 0, [BOB])
