"""Servers that cannot reach each other for a while, and agree afterwards."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.interop.conftest import Pair
from tests.interop.user import Json, User, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


class Partition:
    """The ways between two servers."""

    def __init__(self, pair: Pair) -> None:
        self._gates = (pair.host.gate, pair.guest.gate)

    def begin(self) -> None:
        for gate in self._gates:
            gate.shut()

    def heal(self) -> None:
        for gate in self._gates:
            gate.open()


@pytest_asyncio.fixture(loop_scope="session")
async def partition(pair: Pair) -> AsyncIterator[Partition]:
    """Cuts the servers off from each other; heals with the test at the latest."""
    partition = Partition(pair)
    yield partition
    partition.heal()


async def test_both_sides_keep_talking_and_agree_in_the_end(
    alice: User, bob: User, version: str, partition: Partition
) -> None:
    """Power is fought for, names are set on both sides, and everything arrives."""
    room_id = await share_room(alice, bob, version)
    await _give_power(alice, bob, room_id)

    partition.begin()
    said = {
        alice: [await alice.say(room_id, "is anybody there?")],
        bob: [await bob.say(room_id, "nobody there")],
    }
    for user in (alice, bob):
        await user.set_state(room_id, "m.room.name", {"name": f"of {user.user_id}"})
        await user.set_state(room_id, "m.room.topic", {"topic": user.user_id})
        await user.set_state(room_id, "org.example.own", {}, user.user_id)
        said[user].append(await user.say(room_id, "renamed it"))
    await _take_power(alice, bob, room_id)
    await bob.set_state(room_id, "m.room.join_rules", {"join_rule": "invite"})
    partition.heal()

    await _speak_until_heard(alice, bob, room_id)
    await _until_same_state(alice, bob, room_id)
    for speaker, hearer in ((alice, bob), (bob, alice)):
        for event_id in said[speaker]:
            await hearer.until_event(room_id, event_id)


async def test_what_was_sent_meanwhile_arrives(
    alice: User, bob: User, partition: Partition
) -> None:
    """More than fits into one transaction, and then a sign of life."""
    room_id = await share_room(alice, bob, "11")

    partition.begin()
    said = [await bob.say(room_id, f"message {number}") for number in range(60)]
    partition.heal()
    await _speak_until_heard(alice, bob, room_id)

    heard = await _messages(alice, room_id)
    assert [each for each in heard if each in said] == said


async def _give_power(alice: User, bob: User, room_id: str) -> None:
    levels = await alice.power_levels(room_id)
    levels["users"] = {**levels.get("users", {}), bob.user_id: 50}
    levels["events"] = {**levels.get("events", {}), "m.room.join_rules": 50}
    await bob.until_event(
        room_id, await alice.set_state(room_id, "m.room.power_levels", levels)
    )


async def _take_power(alice: User, bob: User, room_id: str) -> None:
    levels = await alice.power_levels(room_id)
    del levels["users"][bob.user_id]
    await alice.set_state(room_id, "m.room.power_levels", levels)


async def _speak_until_heard(alice: User, bob: User, room_id: str) -> None:
    """After a partition: each hears what the other says now."""
    by_alice, by_bob = await asyncio.gather(
        alice.say(room_id, "I am back"), bob.say(room_id, "so am I")
    )
    await asyncio.gather(
        alice.until_event(room_id, by_bob), bob.until_event(room_id, by_alice)
    )


async def _until_same_state(alice: User, bob: User, room_id: str) -> None:
    """Both have it once an event that follows both sides' newest has come."""
    last = await alice.say(room_id, "agreed?")
    await bob.until_event(room_id, last)
    last = await bob.say(room_id, "agreed")
    await alice.until_event(room_id, last)
    assert await alice.state_ids(room_id) == await bob.state_ids(room_id)


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
