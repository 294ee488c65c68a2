"""Servers that are stopped for a while, and catch up when they are back."""

import pytest

from tests.interop.user import User, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def test_a_server_hears_what_it_has_missed(alice: User, bob: User) -> None:
    room_id = await share_room(alice, bob, "10")

    await bob.peer.stop()
    missed = [await alice.say(room_id, f"message {number}") for number in range(5)]
    renamed = await alice.set_state(room_id, "m.room.name", {"name": "Aspens"})
    await bob.peer.start()
    answer = await bob.say(room_id, "back again")

    await alice.until_event(room_id, answer)
    for event_id in (*missed, renamed):
        await bob.until_event(room_id, event_id)
    assert await bob.state_ids(room_id) == await alice.state_ids(room_id)


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
