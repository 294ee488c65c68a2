"""AS "Pushing ephemeral data"."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.appservice_transactions.awaiting import told
from tests.features.appservice_transactions.bridge import Bridge
from tests.features.appservice_transactions.conftest import bridge
from tests.features.rooms import create_room, join, send
from tests.http_client import Client
from tests.server import Server

__all__ = ["bridge"]

ALICE = "@alice:test"
GHOST = "@_irc_ghost:test"


@pytest.fixture(params=["receive_ephemeral", "de.sorunome.msc2409.push_ephemeral"])
async def told_bridge(
    server: Server, bridge: Bridge, request: pytest.FixtureRequest
) -> Bridge:
    """A bridge that wants to be told, by either key."""
    await server.add_appservice(bridge.registration(**{request.param: True}))
    return bridge


async def bridged_room(server: Server) -> str:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    await join(server.client(GHOST), room_id)
    return room_id


async def type_in(
    client: Client, user_id: str, room_id: str, *, typing: bool = True
) -> None:
    path = f"/v3/rooms/{quote(room_id)}/typing/{user_id}"
    body = {"typing": typing, "timeout": 30_000} if typing else {"typing": False}
    assert (await client.put(path, body)).status == 200


async def read(
    client: Client, room_id: str, event_id: str, receipt_type: str = "m.read"
) -> None:
    path = f"/v3/rooms/{quote(room_id)}/receipt/{receipt_type}/{quote(event_id)}"
    assert (await client.post(path, {})).status == 200


def of_type(event_type: str, edus: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [edu for edu in edus if edu["type"] == event_type]


async def test_typing_is_told(server: Server, told_bridge: Bridge) -> None:
    room_id = await bridged_room(server)
    alice = server.client(ALICE)
    for typing, user_ids in ((True, [ALICE]), (False, [])):
        await type_in(alice, ALICE, room_id, typing=typing)
        edus = await told(
            told_bridge, "ephemeral", lambda edus: of_type("m.typing", edus)
        )

        assert of_type("m.typing", edus) == [
            {
                "type": "m.typing",
                "room_id": room_id,
                "content": {"user_ids": user_ids},
            }
        ]


async def test_receipts_are_told(server: Server, told_bridge: Bridge) -> None:
    room_id = await bridged_room(server)
    event_id = await send(server.client(GHOST), room_id, "from IRC")
    await read(server.client(ALICE), room_id, event_id)
    edus = await told(told_bridge, "ephemeral", lambda edus: of_type("m.receipt", edus))

    [receipt] = of_type("m.receipt", edus)
    assert receipt["room_id"] == room_id
    assert list(receipt["content"][event_id]["m.read"]) == [ALICE]


async def test_presence_is_told(server: Server, told_bridge: Bridge) -> None:
    await bridged_room(server)
    path = f"/v3/presence/{ALICE}/status"
    body = {"presence": "online", "status_msg": "here"}
    assert (await server.client(ALICE).put(path, body)).status == 200
    edus = await told(
        told_bridge,
        "ephemeral",
        lambda edus: any(edu.get("sender") == ALICE for edu in edus),
    )

    [presence] = [edu for edu in edus if edu.get("sender") == ALICE]
    assert presence["type"] == "m.presence"
    assert presence["content"]["presence"] == "online"
    assert presence["content"]["status_msg"] == "here"
    assert "room_id" not in presence


async def test_private_receipts_are_told_of_their_own_users_only(
    server: Server, told_bridge: Bridge
) -> None:
    room_id = await bridged_room(server)
    event_id = await send(server.client(ALICE), room_id, "to IRC")
    for user_id in (ALICE, GHOST):
        await read(server.client(user_id), room_id, event_id, "m.read.private")
    edus = await told(told_bridge, "ephemeral", lambda edus: of_type("m.receipt", edus))

    [receipt] = of_type("m.receipt", edus)
    assert list(receipt["content"][event_id]) == ["m.read.private"]
    assert list(receipt["content"][event_id]["m.read.private"]) == [GHOST]


async def test_rooms_of_others_are_not_told_of(
    server: Server, told_bridge: Bridge
) -> None:
    elsewhere = await create_room(server.client("@carol:test"))
    await type_in(server.client("@carol:test"), "@carol:test", elsewhere)
    room_id = await bridged_room(server)
    await type_in(server.client(ALICE), ALICE, room_id)
    edus = await told(told_bridge, "ephemeral", lambda edus: of_type("m.typing", edus))

    assert [edu["room_id"] for edu in of_type("m.typing", edus)] == [room_id]


async def test_who_does_not_want_it_is_told_of_events_only(
    server: Server, bridge: Bridge
) -> None:
    await server.add_appservice(bridge.registration())
    room_id = await bridged_room(server)
    await type_in(server.client(ALICE), ALICE, room_id)
    event_id = await send(server.client(ALICE), room_id, "to IRC")
    contents: list[dict[str, Any]] = []
    while not contents or contents[-1]["events"][-1]["event_id"] != event_id:
        contents.append((await bridge.take()).content)

    assert all(list(content) == ["events"] for content in contents)
