"""Whose devices to ask for in a room whose members are not known at first."""

import asyncio

import pytest

from tests.federation.big_rooms import BigRoom, big_room, members
from tests.federation.far_devices import FarDevices, changed_since, query, token_of
from tests.federation.memberships import BOB, join
from tests.federation.remote import FAR, Remote
from tests.http_client import Client
from tests.server import Server


@pytest.fixture
def room(remote: Remote, third: Remote) -> BigRoom:
    return big_room(remote, third)


async def test_whoever_comes_to_be_known_as_a_member_is_to_be_asked_for(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    devices = FarDevices(two, remote, room.user(1))
    phone = devices.add("PHONE")
    await join(bob, room.id, FAR)
    since = await token_of(bob)
    assert await changed_since(bob, since) == []
    # Of somebody who is not known to be in the room, this is none of our business.
    await devices.tell("PHONE")
    assert await changed_since(bob, since) == []

    room.released.set()
    async with asyncio.timeout(20):
        everyone = await members(bob, room)

    assert set(await changed_since(bob, since)) == everyone - {BOB}
    found = await query(bob, room.user(1))
    assert found["device_keys"] == {room.user(1): {"PHONE": phone}}
