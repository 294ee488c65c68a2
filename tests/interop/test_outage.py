"""Servers that are stopped for a while, and catch up when they are back."""

import pytest

from tests.interop.conftest import VERSIONS, Partition
from tests.interop.user import Json, User, assert_same_state, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def test_a_server_hears_what_it_has_missed(alice: User, bob: User) -> None:
    """In a room of each version."""
    rooms = [await share_room(alice, bob, version) for version in VERSIONS]

    await bob.peer.stop()
    missed = {
        room_id: [
            *[await alice.say(room_id, f"message {number}") for number in range(5)],
            await alice.set_state(room_id, "m.room.name", {"name": "Aspens"}),
        ]
        for room_id in rooms
    }
    await bob.peer.start()

    for room_id in rooms:
        await alice.until_event(room_id, await bob.say(room_id, "back again"))
        for event_id in missed[room_id]:
            await bob.until_event(room_id, event_id)
        await assert_same_state(room_id, alice, bob)


async def test_what_was_to_be_sent_survives_a_restart(alice: User, bob: User) -> None:
    room_id = await share_room(alice, bob, "11")

    bob.peer.gate.shut()
    unsent = await alice.say(room_id, "nobody hears this yet")
    await alice.peer.stop()
    bob.peer.gate.open()
    await alice.peer.start()
    # Of Bob's server's being there, Alice's learns by this.
    await alice.until_event(room_id, await bob.say(room_id, "are you there?"))

    await bob.until_event(room_id, unsent)


async def test_rooms_whose_server_is_gone_are_left(
    alice: User, bob: User, partition: Partition, version: str
) -> None:
    """One that Bob is in, and one that he was invited to."""
    joined = await share_room(alice, bob, version)
    invited = await alice.create_room(version, preset="private_chat")
    await alice.invite(invited, bob)
    await bob.until_invited(invited)

    partition.begin()
    for room_id in (joined, invited):
        await bob.leave(room_id)
    rooms: Json = (await bob.get("sync")).get("rooms", {})

    assert not rooms.get("join", {}) | rooms.get("invite", {})
