"""States and checkpoints that bridges report over HTTP."""

import asyncio
from typing import Any

import orjson
import pytest

from tests.features.appservices.registrations import registration
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.features.bridge_reports.service import BridgeReports

REGISTRATION = registration()
BRIDGE = "/bridgebox/alice/bridge/irc"


async def bridge(server: Server) -> Client:
    await server.add_appservice(REGISTRATION)
    return server.appservice_client(REGISTRATION)


async def report(client: Client, endpoint: str, body: object) -> HttpResponse:
    return await client.request("POST", f"{BRIDGE}/{endpoint}", json=body)


def state(**changes: object) -> dict[str, object]:
    return {
        "state_event": "CONNECTED",
        "timestamp": 1_600_000_000.5,
        "ttl": 3600,
        "user_id": "@alice:test",
        "remote_id": "alice@irc",
        "remote_name": "Alice",
        **changes,
    }


def checkpoint(**changes: object) -> dict[str, object]:
    return {
        "event_id": "$a",
        "room_id": "!r:test",
        "step": "REMOTE",
        "status": "SUCCESS",
        "timestamp": 1_600_000_000_000,
        **changes,
    }


async def stored(server: Server) -> list[dict[str, Any]]:
    found = await BridgeReports(server.db).states(REGISTRATION.id)
    return [orjson.loads(each.raw) for each in found]


async def stored_checkpoints(server: Server) -> list[dict[str, Any]]:
    reports = BridgeReports(server.db)
    found = await reports.checkpoints(REGISTRATION.id, limit=5_000)
    return [orjson.loads(each.raw) for each in found]


async def test_the_newest_state_of_a_login_is_kept(server: Server) -> None:
    client = await bridge(server)
    bad = state(state_event="BAD_CREDENTIALS", error="irc-banned")
    for endpoint, body in (("bridge_state", state()), ("bridge_remote_state", bad)):
        assert (await report(client, endpoint, body)).status == 200

    assert await stored(server) == [bad]


async def test_each_login_has_its_state(server: Server) -> None:
    client = await bridge(server)
    whole = {"state_event": "RUNNING", "timestamp": 1}
    for body in (whole, state(), state(remote_id="alice@other")):
        assert (await report(client, "bridge_state", body)).status == 200

    assert len(await stored(server)) == 3
    assert whole in await stored(server)


async def test_checkpoints_are_kept_by_event_and_step(server: Server) -> None:
    client = await bridge(server)
    retry = checkpoint(status="WILL_RETRY", retry_num=1)
    for checkpoints in (
        [retry, checkpoint(step="BRIDGE")],
        [checkpoint(), checkpoint()],
    ):
        body = {"checkpoints": checkpoints}
        assert (await report(client, "send_message_metrics", body)).status == 200

    found = await stored_checkpoints(server)
    assert len(found) == 2
    assert all(each["status"] == "SUCCESS" for each in found)


@pytest.mark.parametrize(
    ("endpoint", "body", "errcode"),
    [
        ("bridge_state", {}, "M_BAD_JSON"),
        ("bridge_state", state(state_event="FINE"), "M_BAD_JSON"),
        ("bridge_state", state(user_id=7), "M_BAD_JSON"),
        ("bridge_state", state(remote_id="x" * 256), "M_BAD_JSON"),
        ("bridge_state", state(info="x" * 17_000), "M_TOO_LARGE"),
        ("send_message_metrics", {}, "M_BAD_JSON"),
        ("send_message_metrics", {"checkpoints": [7]}, "M_BAD_JSON"),
        ("send_message_metrics", {"checkpoints": [{}]}, "M_BAD_JSON"),
        ("send_message_metrics", {"checkpoints": [checkpoint()] * 501}, "M_BAD_JSON"),
    ],
)
async def test_what_is_no_report_is_refused(
    server: Server, endpoint: str, body: object, errcode: str
) -> None:
    answer = await report(await bridge(server), endpoint, body)

    assert answer.json["errcode"] == errcode
    assert not await stored(server)
    assert not await stored_checkpoints(server)


async def test_users_report_nothing(server: Server) -> None:
    answer = await report(server.client("@alice:test"), "bridge_state", state())

    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_the_oldest_reports_are_deleted(server: Server) -> None:
    client = await bridge(server)
    for start in range(0, 3_000, 500):
        numbers = range(start, start + 500)
        checkpoints = [checkpoint(event_id=f"${number}") for number in numbers]
        await report(client, "send_message_metrics", {"checkpoints": checkpoints})

    found = await stored_checkpoints(server)
    assert 2_000 <= len(found) < 3_000
    assert found[0]["event_id"] >= "$2500"


async def test_of_what_has_gone_nothing_is_left(server: Server) -> None:
    client = await bridge(server)
    await report(client, "bridge_state", state())
    await report(client, "send_message_metrics", {"checkpoints": [checkpoint()]})

    await server.app.appservices.remove(REGISTRATION.id)
    deletions = [
        task
        for task in asyncio.all_tasks()
        if task.get_name() == "bridge_reports_deletion"
    ]
    await asyncio.gather(*deletions)

    assert not await stored(server)
    assert not await stored_checkpoints(server)
