"""Statuses of which bridges have a key copied into the message, over HTTP."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tests.features.appservices.registrations import registration
from tests.features.rooms import create_room, join, send, set_state
from tests.features.sync.syncing import sync
from tests.http_client import Client
from tests.server import AppserviceClient, Server

ALICE = "@alice:test"
KEY = "com.example.state"


@pytest.fixture
async def bot(server: Server) -> AppserviceClient:
    """The bridge, whose bot there is."""
    registered = registration()
    await server.add_appservice(registered)
    client = server.appservice_client(registered)
    body = {"type": "m.login.application_service", "username": "_irc_bot"}
    assert (await client.post("/v3/register", body)).status == 200
    return client


async def bridged_room(server: Server, bot: Client, *, federates: bool = False) -> str:
    """A room of the bridge's, with Alice in it."""
    room_id = await create_room(
        bot, preset="public_chat", creation_content={"m.federate": federates}
    )
    await join(server.client(ALICE), room_id)
    return room_id


async def tell(
    client: Client,
    room_id: str,
    target: str,
    told: Mapping[str, object],
    txn_id: str = "t",
) -> str:
    """Send a status of the event *target*; its own ID."""
    relation = {"rel_type": "m.reference", "event_id": target}
    content = {"m.relates_to": relation, "status": "SUCCESS", **told}
    path = f"/v3/rooms/{quote(room_id)}/send/com.beeper.message_send_status/{txn_id}"
    response = await client.put(path, content)
    assert response.status == 200, response.body
    event_id: str = response.json["event_id"]
    return event_id


async def content_of(client: Client, room_id: str, event_id: str) -> dict[str, Any]:
    """An event's content."""
    response = await client.get(f"/v3/rooms/{quote(room_id)}/event/{quote(event_id)}")
    content: dict[str, Any] = response.json["content"]
    return content


async def test_the_key_is_copied_wherever_the_event_is_shown(
    server: Server, bot: AppserviceClient
) -> None:
    """In memory and in the database. A newer status has a newer value."""
    alice = server.client(ALICE)
    room_id = await bridged_room(server, bot)
    target = await send(alice, room_id)
    before = await content_of(alice, room_id, target)

    for number, value in enumerate(({"a": 1}, [2])):
        told = {"mutate_event_key": KEY, KEY: value}
        status_id = await tell(bot, room_id, target, told, str(number))
        expected = {**before, KEY: value}

        assert await content_of(alice, room_id, target) == expected
        room = (await sync(alice))["rooms"]["join"][room_id]
        *_, message, status = room["timeline"]["events"]
        if number == 0:
            assert (message["event_id"], status["event_id"]) == (target, status_id)
            assert message["content"] == expected
        for app in server.apps:
            app.journal.forget(app.journal.position)
        assert await content_of(alice, room_id, target) == expected


@pytest.mark.parametrize(
    "told",
    [
        {KEY: 1},
        {"mutate_event_key": KEY},
        {"mutate_event_key": 1, KEY: 1},
        {"mutate_event_key": "m.relates_to"},
        {"mutate_event_key": "m.new_content", "m.new_content": {"body": "x"}},
        {"mutate_event_key": "x" * 256, "x" * 256: 1},
        {"mutate_event_key": KEY, KEY: 1, "m.relates_to": {"event_id": "$x"}},
    ],
)
async def test_other_statuses_change_nothing(
    server: Server, bot: AppserviceClient, told: dict[str, object]
) -> None:
    room_id = await bridged_room(server, bot)
    target = await send(server.client(ALICE), room_id)
    before = await content_of(bot, room_id, target)

    await tell(bot, room_id, target, told)

    assert await content_of(bot, room_id, target) == before


async def test_nobody_else_may_and_nowhere_else(
    server: Server, bot: AppserviceClient
) -> None:
    """Neither Alice, nor in a room of hers, nor in one that may federate."""
    alice = server.client(ALICE)
    hers = await create_room(
        alice, preset="public_chat", creation_content={"m.federate": False}
    )
    await join(bot, hers)
    for client, room_id in (
        (alice, await bridged_room(server, bot)),
        (bot, hers),
        (bot, await bridged_room(server, bot, federates=True)),
    ):
        target = await send(alice, room_id)
        before = await content_of(bot, room_id, target)

        await tell(client, room_id, target, {"mutate_event_key": KEY, KEY: 1})

        assert await content_of(bot, room_id, target) == before


async def test_neither_state_nor_what_is_redacted_is_changed(
    server: Server, bot: AppserviceClient
) -> None:
    alice = server.client(ALICE)
    room_id = await bridged_room(server, bot)
    redacted = await send(alice, room_id)
    path = f"/v3/rooms/{quote(room_id)}/redact/{quote(redacted)}/r"
    assert (await alice.put(path, {})).status == 200
    topic = await set_state(bot, room_id, "m.room.topic", {"topic": "x"})
    state: str = topic.json["event_id"]
    elsewhere = await send(alice, await create_room(alice))

    for number, target in enumerate((redacted, state, elsewhere, "$unknown")):
        told = {"mutate_event_key": KEY, KEY: 1}
        await tell(bot, room_id, target, told, str(number))

    assert await content_of(alice, room_id, redacted) == {}
    assert await content_of(alice, room_id, state) == {"topic": "x"}


async def test_an_event_does_not_grow_past_its_bound(
    server: Server, bot: AppserviceClient
) -> None:
    room_id = await bridged_room(server, bot)
    target = await send(bot, room_id, body="x" * 40_000)
    before = await content_of(bot, room_id, target)

    await tell(bot, room_id, target, {"mutate_event_key": KEY, KEY: "x" * 40_000})

    assert await content_of(bot, room_id, target) == before
