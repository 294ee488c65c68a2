"""A room of three servers: whom one of them lets in, the others hear of."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.interop.conftest import VERSIONS, Partition
from tests.interop.user import User, assert_same_state, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


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
    await assert_same_state(room_id, alice, bob, carol)


async def test_changes_at_once_end_in_one_state(
    alice: User, bob: User, carol: User, version: str
) -> None:
    """All three change the same things without waiting for each other."""
    everybody = (alice, bob, carol)
    room_id = await _room_of_three(*everybody, version)

    for number in range(3):
        await asyncio.gather(
            *(_change(user, room_id, f"change {number}") for user in everybody)
        )

    await _agree(room_id, *everybody)


async def test_each_on_its_own_for_a_while(
    alice: User, bob: User, carol: User, partition_of_three: Partition
) -> None:
    """No server reaches another; all go on talking and changing the rooms."""
    everybody = (alice, bob, carol)
    rooms = [await _room_of_three(*everybody, version) for version in VERSIONS]

    partition_of_three.begin()
    said: dict[str, list[str]] = {}
    for room_id in rooms:
        for user in everybody:
            await _change(user, room_id, "nobody hears it")
        said[room_id] = [await user.say(room_id, "hello?") for user in everybody]
    partition_of_three.heal()

    for room_id in rooms:
        await _agree(room_id, *everybody)
        for user in everybody:
            for event_id in said[room_id]:
                await user.until_event(room_id, event_id)


async def test_what_was_missed_is_had_from_the_third(
    alice: User, bob: User, carol: User
) -> None:
    """Bob's server was down; when it is back, Alice's, which spoke, is down."""
    everybody = (alice, bob, carol)
    rooms = [await _room_of_three(*everybody, version) for version in VERSIONS]

    await bob.peer.stop()
    missed = {room_id: await alice.say(room_id, "for all") for room_id in rooms}
    for room_id, event_id in missed.items():
        await carol.until_event(room_id, event_id)
    await alice.peer.stop()
    await bob.peer.start()
    for room_id, event_id in missed.items():
        told = await carol.say(room_id, "have you heard?")
        await bob.until_event(room_id, told)
        await bob.until_event(room_id, event_id)
    await alice.peer.start()

    for room_id in rooms:
        await _agree(room_id, *everybody)


@pytest.fixture
def partition_of_three(alice: User, bob: User, carol: User) -> Iterator[Partition]:
    """Cuts all three off from each other; heals with the test at the latest."""
    partition = Partition((alice.peer, bob.peer, carol.peer))
    yield partition
    partition.heal()


async def _room_of_three(alice: User, bob: User, carol: User, version: str) -> str:
    """A room of Alice in which everybody may change everything."""
    room_id = await share_room(alice, bob, version)
    await carol.join(room_id, via=alice.peer)
    for user in (alice, bob):
        await user.until_membership(room_id, carol, "join")
    await alice.give_power(room_id, bob, carol)
    return room_id


async def _change(user: User, room_id: str, topic: str) -> None:
    """Change what the others change as well: the topic and the power levels."""
    await user.set_state(room_id, "m.room.topic", {"topic": f"{topic} {user.user_id}"})
    levels = await user.power_levels(room_id)
    levels["events"][f"org.example.{user.user_id}"] = 25
    await user.set_state(room_id, "m.room.power_levels", levels)


async def _agree(room_id: str, *everybody: User) -> None:
    """What each says now follows all that it knows; the last follows everything."""
    for speaker in (*everybody, *everybody):
        said = await speaker.say(room_id, "what is the topic?")
        for hearer in everybody:
            await hearer.until_event(room_id, said)
    await assert_same_state(room_id, *everybody)
