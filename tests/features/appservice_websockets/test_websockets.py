"""Transactions, commands and ends of websockets."""

from collections.abc import AsyncIterator

import pytest

from tests.features.appservice_websockets.bridge import (
    PATH,
    Listening,
    connected,
    listening,
    websocket_registration,
)
from tests.features.rooms import create_room, join, send
from tests.server import Server

ALICE = "@alice:test"
GHOST = "@_irc_ghost:test"
REGISTRATION = websocket_registration()


@pytest.fixture
async def open_server(server: Server) -> AsyncIterator[Listening]:
    """A server that listens, and knows of the bridge."""
    await server.add_appservice(REGISTRATION)
    async with listening(server) as started:
        yield started


async def bridged_room(server: Server) -> str:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    await join(server.client(GHOST), room_id)
    return room_id


async def test_events_come_over_the_websocket(open_server: Listening) -> None:
    server = open_server.server
    async with connected(open_server, REGISTRATION) as bridge:
        room_id = await bridged_room(server)
        joined = await bridge.transaction()
        event_id = await send(server.client(ALICE), room_id, "to IRC")
        said = await bridge.transaction()

    assert joined["status"] == "ok"
    assert [event["state_key"] for event in joined["events"]] == [GHOST]
    assert [event["event_id"] for event in said["events"]] == [event_id]
    assert said["txn_id"] != joined["txn_id"]


async def test_what_happens_meanwhile_comes_when_it_connects(
    open_server: Listening,
) -> None:
    room_id = await bridged_room(open_server.server)
    event_id = await send(open_server.server.client(ALICE), room_id, "to IRC")

    async with connected(open_server, REGISTRATION) as bridge:
        found = (await bridge.transaction())["events"]
        if len(found) == 1:
            found += (await bridge.transaction())["events"]

    assert found[-1]["event_id"] == event_id


async def test_what_was_not_acknowledged_comes_again(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        await bridged_room(open_server.server)
        first = await bridge.transaction(acknowledge=False)

    async with connected(open_server, REGISTRATION, process=1) as bridge:
        again = await bridge.transaction()

    assert (again["txn_id"], again["events"]) == (first["txn_id"], first["events"])


async def test_what_is_refused_comes_again(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        await bridged_room(open_server.server)
        first = await bridge.transaction(acknowledge=False)
        await bridge.say("error", first["id"], {"code": "X", "message": "no"})
        again = await bridge.transaction()

    assert again["txn_id"] == first["txn_id"]


async def test_the_newest_websocket_counts(open_server: Listening) -> None:
    async with (
        connected(open_server, REGISTRATION) as old,
        connected(open_server, REGISTRATION, process=1) as new,
    ):
        assert await old.closed() == (
            4001,
            {"command": "disconnect", "status": "conn_replaced"},
        )
        await bridged_room(open_server.server)

        assert (await new.transaction())["events"]


async def test_the_server_says_that_it_stops(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        for http in open_server.http:
            await http.stop(grace_s=5)

        assert await bridge.closed() == (
            1012,
            {"command": "disconnect", "status": "server_shutting_down"},
        )


async def test_who_is_registered_anew_connects_anew(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        changed = websocket_registration(as_token="another")
        await open_server.server.app.appservices.replace(changed)

        assert (await bridge.closed())[1]["status"] == "registration_changed"


async def test_a_ping_tells_the_time(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        answer = await bridge.ask("ping", {"timestamp": 1})

    assert answer["command"] == "response"
    assert answer["data"]["timestamp"] > 1_600_000_000_000


async def test_unknown_commands_are_refused(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        answer = await bridge.ask("fly", {})

    assert answer["command"] == "error"
    assert answer["data"]["code"] == "M_UNRECOGNIZED"


async def test_what_was_not_asked_for_is_ignored(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        await bridge.say("response", 99, {})
        await bridge.say("fly", 0, {})
        answer = await bridge.ask("ping", {})

    assert answer["command"] == "response"


async def test_what_is_no_command_ends_it(open_server: Listening) -> None:
    async with connected(open_server, REGISTRATION) as bridge:
        await bridge.socket.send_str("hello")
        message = await bridge.socket.receive()

    assert (message.data, message.extra) == (1002, "M_NOT_JSON")


async def test_users_have_no_websockets(server: Server) -> None:
    answer = await server.client(ALICE).get(PATH.removeprefix("/_matrix/client"))

    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_a_request_without_an_upgrade_is_refused(server: Server) -> None:
    await server.add_appservice(REGISTRATION)
    client = server.appservice_client(REGISTRATION)
    answer = await client.get(PATH.removeprefix("/_matrix/client"))

    assert answer.status == 426
