"""A room of three servers: whom one of them lets in, the others hear of."""

import asyncio

import pytest
import pytest_asyncio

from tests.interop.conftest import Pair, Peers, Register
from tests.interop.user import User, share_room

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="session"),
    # With the third server, all three are there.
    pytest.mark.parametrize(
        "pair", ["tremula-synapse", "synapse-tremula"], indirect=True
    ),
]


@pytest_asyncio.fixture(loop_scope="session")
async def carol(pair: Pair, peers: Peers, register_at: Register) -> User:
    """Somebody at the third server."""
    return await register_at(peers.second_tremula, "carol")


async def test_each_hears_both_others(
    alice: User, bob: User, carol: User, version: str
) -> None:
    """Carol comes in by Bob's server, which has not made the room."""
    room_id = await share_room(alice, bob, version)

    await carol.join(room_id, via=bob.peer)
    for other in (alice, bob):
        await other.until_membership(room_id, carol, "join")

    for speaker in (alice, bob, carol):
        said = await speaker.say(room_id, f"{speaker.user_id} is here")
        for hearer in (alice, bob, carol):
            await hearer.until_event(room_id, said)
    assert (
        await alice.state_ids(room_id)
        == await bob.state_ids(room_id)
        == await carol.state_ids(room_id)
    )


async def test_changes_at_once_end_in_one_state(
    alice: User, bob: User, carol: User, version: str
) -> None:
    """All three change the same things without waiting for each other."""
    room_id = await share_room(alice, bob, version)
    await carol.join(room_id, via=alice.peer)
    everybody = (alice, bob, carol)
    for user in (alice, bob):
        await user.until_membership(room_id, carol, "join")
    await alice.give_power(room_id, bob, carol)

    for number in range(3):
        await asyncio.gather(
            *(
                user.set_state(
                    room_id, "m.room.topic", {"topic": f"{number} {user.user_id}"}
                )
                for user in everybody
            )
        )
    # What each says now follows all that it knows; the last follows everything.
    for speaker in (*everybody, *everybody):
        said = await speaker.say(room_id, "what is the topic?")
        for hearer in everybody:
            await hearer.until_event(room_id, said)

    assert (
        await alice.state_ids(room_id)
        == await bob.state_ids(room_id)
        == await carol.state_ids(room_id)
    )
