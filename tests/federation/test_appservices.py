"""Application services are told of rooms of other servers as of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.features.appservice_transactions.bridge import Bridge, running_bridge
from tests.features.appservices.registrations import namespaces
from tests.features.rooms import create_room, member, send
from tests.federation.memberships import BOB, join
from tests.http_client import Client
from tests.server import Server

BOBS = namespaces(users="@bob", exclusive=False)


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    async with running_bridge(tmp_path) as bridge:
        yield bridge


async def test_an_invitation_by_another_server_and_what_follows_it(
    two: Server, alice: Client, bob: Client, bridge: Bridge
) -> None:
    """Also while the members of a room that was just joined are not all known."""
    await two.add_appservice(bridge.registration(namespaces=BOBS))
    room_id = await create_room(alice)

    await member(alice, room_id, "invite", BOB)
    [invitation] = await bridge.take_events(1)
    assert (await join(bob, room_id, "one.test")).status == 200
    [joined] = await bridge.take_events(1)
    event_id = await send(alice, room_id)

    assert invitation["content"]["membership"] == "invite"
    assert (invitation["room_id"], invitation["state_key"]) == (room_id, BOB)
    assert (joined["room_id"], joined["state_key"]) == (room_id, BOB)
    [told] = await bridge.take_events(1)
    assert told["event_id"] == event_id


async def test_users_of_other_servers_are_nobodys(
    two: Server, alice: Client, bob: Client, bridge: Bridge
) -> None:
    alices = namespaces(users="@alice", exclusive=False)
    await two.add_appservice(bridge.registration(namespaces=alices))
    room_id = await create_room(alice, preset="public_chat")
    assert (await join(bob, room_id, "one.test")).status == 200
    await send(bob, room_id, "to nobody")

    await two.app.appservices.replace(bridge.registration(namespaces=BOBS))
    event_id = await send(bob, room_id)

    [told] = await bridge.take_events(1)
    assert told["event_id"] == event_id
