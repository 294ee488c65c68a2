"""Invitations to rooms that the server is not in notify as any others do."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.remote import trusted_ca_file
from tests.features.pushers.conversations import push_to
from tests.features.pushers.push_gateway import PushGateway, running_gateway
from tests.features.rooms import create_room, member
from tests.federation.memberships import BOB, join, leave, membership, rooms, until
from tests.federation.network import Federation
from tests.http_client import Client
from tests.server import Server
from tremula.infra.config import Outbound

MUTE_INVITATIONS = "/v3/pushrules/global/override/.m.rule.invite_for_me/enabled"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[PushGateway]:
    async with running_gateway(tmp_path) as gateway:
        yield gateway


@pytest.fixture
async def two(
    database_source: DatabaseSource, federation: Federation, tmp_path: Path
) -> Server:
    """The server of the invited user, which may reach the test's push gateway."""
    outbound = Outbound(
        trusted_ca_file=trusted_ca_file(tmp_path),
        allowed_private_ranges=(ip_network("127.0.0.1"),),
    )
    return await federation.start("two.test", database_source, outbound=outbound)


async def listed(client: Client) -> list[dict[str, Any]]:
    response = await client.get("/v3/notifications")
    assert response.status == 200, response.body
    found: list[dict[str, Any]] = response.json["notifications"]
    return found


async def invited_with(alice: Client, **room: object) -> str:
    room_id = await create_room(alice, **room)
    assert (await member(alice, room_id, "invite", BOB)).status == 200
    return room_id


async def test_an_invitation_is_pushed(
    alice: Client, bob: Client, gateway: PushGateway
) -> None:
    await push_to(bob, gateway)

    room_id = await invited_with(alice, name="Aspens")

    told = await gateway.take()
    [device] = told["devices"]
    assert device["tweaks"] == {"sound": "default"}
    assert (told["room_id"], told["room_name"]) == (room_id, "Aspens")
    assert (told["type"], told["sender"]) == ("m.room.member", "@alice:one.test")
    assert (told["user_is_target"], told["content"]["membership"]) == (True, "invite")
    assert told["prio"] == "high"


async def test_an_invitation_is_pushed_though_it_is_not_remembered(
    alice: Client, bob: Client, two: Server, gateway: PushGateway
) -> None:
    """By what is stored of it, in a room known from before and in one that is not."""
    await push_to(bob, gateway)
    with patch.object(two.app.journal, "changed_keys", return_value=None):
        room_id = await invited_with(alice)
        first = await gateway.take()
        await leave(bob, room_id)
        assert (await member(alice, room_id, "invite", BOB)).status == 200
        second = await gateway.take()

    assert (first["room_id"], second["room_id"]) == (room_id, room_id)
    assert first["event_id"] != second["event_id"]


async def test_another_invitation_to_the_room_is_pushed(
    alice: Client, bob: Client, gateway: PushGateway
) -> None:
    await push_to(bob, gateway)
    room_id = await invited_with(alice)
    first = await gateway.take()
    await leave(bob, room_id)

    assert (await member(alice, room_id, "invite", BOB)).status == 200

    second = await gateway.take()
    assert second["room_id"] == room_id
    assert second["event_id"] != first["event_id"]
    [shown] = await listed(bob)
    assert shown["event"]["event_id"] == second["event_id"]


async def test_an_invitation_back_to_a_room_that_was_left_is_pushed(
    alice: Client, bob: Client, gateway: PushGateway
) -> None:
    room_id = await invited_with(alice)
    assert (await join(bob, room_id)).status == 200
    assert (await leave(bob, room_id)).status == 200
    await push_to(bob, gateway)

    async def has_left() -> bool:
        return await membership(alice, room_id, BOB) == "leave"

    await until(alice, has_left)
    assert (await member(alice, room_id, "invite", BOB)).status == 200

    told = await gateway.take()
    assert (told["room_id"], told["user_is_target"]) == (room_id, True)
    [shown] = await listed(bob)
    assert shown["event"]["event_id"] == told["event_id"]


async def test_an_invitation_is_listed_until_it_is_declined(
    alice: Client, bob: Client
) -> None:
    room_id = await invited_with(alice)

    [shown] = await listed(bob)
    assert shown["room_id"] == room_id
    assert shown["actions"] == ["notify", {"set_tweak": "sound", "value": "default"}]
    assert shown["read"] is False
    event = shown["event"]
    assert (event["type"], event["state_key"]) == ("m.room.member", BOB)
    assert (event["content"]["membership"], "room_id" in event) == ("invite", False)
    assert shown["ts"] == event["origin_server_ts"]

    await leave(bob, room_id)

    assert await listed(bob) == []


async def test_an_invitation_is_listed_until_it_is_withdrawn(
    alice: Client, bob: Client
) -> None:
    room_id = await invited_with(alice)
    assert len(await listed(bob)) == 1

    await member(alice, room_id, "kick", BOB)

    async def is_withdrawn() -> bool:
        return not await rooms(bob, "invite")

    await until(bob, is_withdrawn)
    assert await listed(bob) == []


async def test_who_accepts_has_no_notification_any_more(
    alice: Client, bob: Client
) -> None:
    room_id = await invited_with(alice)

    assert (await join(bob, room_id)).status == 200

    assert await listed(bob) == []


async def test_the_rules_of_the_user_decide(
    alice: Client, bob: Client, gateway: PushGateway
) -> None:
    await push_to(bob, gateway)
    muted = await bob.put(MUTE_INVITATIONS, {"enabled": False})
    assert muted.status == 200
    await invited_with(alice, name="Silent")
    assert await listed(bob) == []
    assert (await bob.put(MUTE_INVITATIONS, {"enabled": True})).status == 200

    loud = await invited_with(alice, name="Loud")

    assert (await gateway.take())["room_id"] == loud
    assert [each["room_id"] for each in await listed(bob)] == [loud]
