"""Requests that go over a websocket, and reports that come."""

import asyncio

import pytest

from tests.features.appservice_websockets.bridge import (
    Listening,
    connected,
    listening,
    websocket_registration,
)
from tests.features.appservice_websockets.test_websockets import open_server
from tests.server import Server
from tremula.features.bridge_reports.service import BridgeReports

__all__ = ["open_server"]

REGISTRATION = websocket_registration()
PING = f"/v1/appservice/{REGISTRATION.id}/ping"


async def test_a_ping_goes_over_the_websocket(open_server: Listening) -> None:
    client = open_server.server.appservice_client(REGISTRATION)
    # Of several processes, also of those that do not have it.
    for process in range(2):
        async with (
            connected(open_server, REGISTRATION, process) as bridge,
            asyncio.TaskGroup() as group,
        ):
            ping = group.create_task(client.post(PING, {"transaction_id": "meow"}))
            asked = await bridge.receive()
            data = {"status": 200, "headers": {}, "body": {}}
            await bridge.say("response", asked["id"], data)

        assert (ping.result().status, list(ping.result().json)) == (
            200,
            ["duration_ms"],
        )
        assert asked["command"] == "http_proxy"
        assert asked["data"] == {
            "method": "POST",
            "path": "/_matrix/app/v1/ping",
            "escaped_path": "/_matrix/app/v1/ping",
            "query": "",
            "headers": {
                "Authorization": [f"Bearer {REGISTRATION.hs_token}"],
                "Content-Type": ["application/json"],
            },
            "body": {"transaction_id": "meow"},
        }


@pytest.mark.parametrize(
    ("command", "data", "status", "errcode"),
    [
        ("response", {"status": 403, "body": {"errcode": "X"}}, 502, "M_BAD_STATUS"),
        ("response", {"status": "?"}, 502, "M_CONNECTION_FAILED"),
        ("error", {"code": "X", "message": "no"}, 502, "M_CONNECTION_FAILED"),
    ],
)
async def test_a_ping_that_fails_is_told(
    open_server: Listening, command: str, data: object, status: int, errcode: str
) -> None:
    client = open_server.server.appservice_client(REGISTRATION)
    async with (
        connected(open_server, REGISTRATION) as bridge,
        asyncio.TaskGroup() as group,
    ):
        ping = group.create_task(client.post(PING, {}))
        await bridge.say(command, (await bridge.receive())["id"], data)

    assert (ping.result().status, ping.result().json["errcode"]) == (status, errcode)


async def test_who_is_not_connected_has_no_url(server: Server) -> None:
    await server.add_appservice(REGISTRATION)
    answer = await server.appservice_client(REGISTRATION).post(PING, {})

    assert (answer.status, answer.json["errcode"]) == (400, "M_URL_NOT_SET")


async def test_a_bridge_reports_over_its_websocket(open_server: Listening) -> None:
    state = {"state_event": "RUNNING", "timestamp": 1.5, "user_id": "@alice:test"}
    checkpoint = {"event_id": "$a", "step": "REMOTE", "status": "SUCCESS"}
    async with connected(open_server, REGISTRATION) as bridge:
        for command, data in (
            ("bridge_status", state),
            ("message_checkpoint", {"checkpoints": [checkpoint]}),
        ):
            assert (await bridge.ask(command, data))["command"] == "response"
        refused = await bridge.ask("bridge_status", {"state_event": "GREAT"})

    assert (refused["command"], refused["data"]["code"]) == ("error", "M_BAD_JSON")
    reports = BridgeReports(open_server.server.db)
    assert len(await reports.states(REGISTRATION.id)) == 1
    assert len(await reports.checkpoints(REGISTRATION.id, limit=9)) == 1


async def test_two_bridges_do_not_mix(server: Server) -> None:
    other = websocket_registration(
        id="xmpp", as_token="b", hs_token="b", sender_localpart="_xmpp_bot"
    )
    await server.add_appservice(REGISTRATION)
    await server.add_appservice(other)
    async with (
        listening(server) as started,
        connected(started, REGISTRATION) as irc,
        connected(started, other) as xmpp,
    ):
        assert (await irc.ask("ping", {}))["command"] == "response"
        assert (await xmpp.ask("ping", {}))["command"] == "response"
