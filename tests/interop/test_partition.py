"""Servers that cannot reach each other for a while, and agree afterwards."""

import asyncio

import pytest

from tests.interop.conftest import VERSIONS, Partition, Register
from tests.interop.user import (
    Json,
    State,
    User,
    assert_same_state,
    membership_in,
    share_room,
)

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def test_both_sides_keep_talking_and_agree_in_the_end(
    alice: User, bob: User, partition: Partition
) -> None:
    """One room of each version: what was said arrives, and the state is one again."""
    rooms = [await share_room(alice, bob, version) for version in VERSIONS]
    for room_id in rooms:
        await alice.give_power(room_id, bob)

    partition.begin()
    said = [await _quarrel(alice, bob, room_id) for room_id in rooms]
    partition.heal()

    for room_id, events in zip(rooms, said, strict=True):
        await _speak_until_heard(alice, bob, room_id)
        await _agree(alice, bob, room_id)
        for event_id in events:
            await alice.until_event(room_id, event_id)
            await bob.until_event(room_id, event_id)


async def test_what_was_sent_meanwhile_arrives(
    alice: User, bob: User, partition: Partition
) -> None:
    """More than fits into one transaction."""
    room_id = await share_room(alice, bob, "11")

    partition.begin()
    said = [await bob.say(room_id, f"message {number}") for number in range(60)]
    partition.heal()
    await _speak_until_heard(alice, bob, room_id)

    heard = await _messages(alice, room_id)
    assert [each for each in heard if each in said] == said


async def test_power_that_is_taken_takes_back_what_was_done_with_it(
    alice: User, bob: User, register_at: Register, partition: Partition
) -> None:
    """Bob bans and promotes while Alice, who has more power, demotes him."""
    anna, bella = (
        await register_at(alice.peer, "anna"),
        await register_at(bob.peer, "bella"),
    )
    rooms = [await share_room(alice, bob, version) for version in VERSIONS]
    for room_id in rooms:
        await anna.join(room_id, via=alice.peer)
        await bella.join(room_id, via=alice.peer)
        await bob.until_membership(room_id, anna, "join")
        await alice.until_membership(room_id, bella, "join")
        await alice.give_power(room_id, bob)

    partition.begin()
    for room_id in rooms:
        await bob.ban(room_id, anna)
        await bob.set_state(room_id, "m.room.topic", {"topic": "Without Anna"})
        await bob.give_power(room_id, bella)
        await alice.take_power(room_id, bob)
    protests = [await anna.say(room_id, "I am here") for room_id in rooms]
    partition.heal()

    for room_id, protest in zip(rooms, protests, strict=True):
        await _speak_until_heard(alice, bob, room_id)
        await _agree(alice, bob, room_id)
        for user in (alice, bob):
            state = await user.state(room_id)
            assert membership_in(state, anna) == "join"
            assert ("m.room.topic", "") not in state
            assert not _powerful_in(state) & {bob.user_id, bella.user_id}
        await bella.until_event(room_id, protest)


async def _quarrel(alice: User, bob: User, room_id: str) -> list[str]:
    """Both change the same things; Alice takes Bob's power while he uses it."""
    said = [await alice.say(room_id, "anybody?"), await bob.say(room_id, "nobody")]
    for user in (alice, bob):
        await user.set_state(room_id, "m.room.name", {"name": f"of {user.user_id}"})
        await user.set_state(room_id, "m.room.topic", {"topic": user.user_id})
        await user.set_state(room_id, "org.example.own", {}, user.user_id)
    await alice.take_power(room_id, bob)
    by_bob = await bob.power_levels(room_id) | {"invite": 50}
    await bob.set_state(room_id, "m.room.power_levels", by_bob)
    await bob.set_state(room_id, "m.room.join_rules", {"join_rule": "invite"})
    return [*said, await alice.say(room_id, "so there")]


async def _speak_until_heard(alice: User, bob: User, room_id: str) -> None:
    """After a partition: each hears what the other says now."""
    by_alice, by_bob = await asyncio.gather(
        alice.say(room_id, "I am back"), bob.say(room_id, "so am I")
    )
    await asyncio.gather(
        alice.until_event(room_id, by_bob), bob.until_event(room_id, by_alice)
    )


async def _agree(alice: User, bob: User, room_id: str) -> None:
    """The states are equal once an event that joins both branches has come."""
    await bob.until_event(room_id, await alice.say(room_id, "agreed?"))
    await alice.until_event(room_id, await bob.say(room_id, "agreed"))
    await assert_same_state(room_id, alice, bob)


def _powerful_in(state: State) -> set[str]:
    """Those whom the power levels name."""
    return set(state["m.room.power_levels", ""]["content"]["users"])


async def _messages(user: User, room_id: str) -> list[str]:
    """The IDs of the room's newest messages, oldest first."""
    page: Json = await user.get(
        *("rooms", room_id, "messages"), query={"dir": "b", "limit": "100"}
    )
    return [
        event["event_id"]
        for event in page["chunk"][::-1]
        if event["type"] == "m.room.message"
    ]
