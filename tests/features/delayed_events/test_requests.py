"""Delayed events (MSC4140) over HTTP, in every form that clients use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.backends import table_of_refusals
from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, error_of, guest, join, send, set_state
from tests.features.rooms import state as state_of
from tests.http_client import Client, HttpResponse
from tests.server import Server, config_for, running_server
from tremula.infra.config import DelayedEvents, RateLimit, RateLimits

ALICE, BOB = "@alice:test", "@bob:test"
UNSTABLE = "/unstable/org.matrix.msc4140"
CALL = "org.matrix.msc3401.call.member"
HOUR_MS = 3_600_000
TEXT = {"msgtype": "m.text", "body": "later"}


async def schedule(
    client: Client,
    room_id: str,
    delay_ms: int,
    content: object = None,
    *,
    state_key: str | None = None,
    txn_id: str = "1",
) -> str:
    """Schedule a call's member event, or a message; its delay ID."""
    if state_key is None:
        path = f"/v3/rooms/{room_id}/send/m.room.message/{txn_id}"
    else:
        path = f"/v3/rooms/{room_id}/state/{CALL}/{quote(state_key, safe='')}"
    query = {"org.matrix.msc4140.delay": delay_ms}
    response = await client.put(path, content or {}, query=query)
    assert response.status == 200, response.body
    assert list(response.json) == ["delay_id"]
    delay_id: str = response.json["delay_id"]
    return delay_id


async def act(client: Client, delay_id: str, action: str) -> HttpResponse:
    """Send, cancel or restart it."""
    return await client.post(f"{UNSTABLE}/delayed_events/{delay_id}/{action}", {})


async def get(client: Client, delay_id: str) -> dict[str, Any]:
    """The event as its sender is shown it."""
    response = await client.get(f"{UNSTABLE}/delayed_events/{delay_id}")
    assert response.status == 200, response.body
    shown: dict[str, Any] = response.json
    return shown


async def synced_event(client: Client, room_id: str, event_type: str) -> dict[str, Any]:
    """The newest event of a type in a room; waits for it."""
    since: Mapping[str, str] = {}
    while True:
        response = await client.get("/v3/sync", query={"timeout": 30_000, **since})
        assert response.status == 200
        since = {"since": response.json["next_batch"]}
        room = response.json.get("rooms", {}).get("join", {}).get(room_id, {})
        for event in reversed(room.get("timeline", {}).get("events", [])):
            if event["type"] == event_type:
                found: dict[str, Any] = event
                return found


async def test_a_message_comes_when_its_time_has_come(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)

    delay_id = await schedule(alice, room_id, 30, TEXT)

    event = await synced_event(bob, room_id, "m.room.message")
    assert (event["sender"], event["content"]) == (ALICE, TEXT)
    assert "delay_id" not in event["unsigned"]
    path = f"/v3/rooms/{room_id}/event/{quote(event['event_id'], safe='')}"
    own = (await alice.get(path)).json["unsigned"]
    assert own["org.matrix.msc4140.delay_id"] == own["delay_id"] == delay_id


async def test_a_call_is_left_when_the_heartbeat_stops(server: Server) -> None:
    """As Element Call does it: the leave is scheduled first, then sent on and on."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    delay_id = await schedule(alice, room_id, HOUR_MS, state_key="_@alice:test_D")
    await set_state(alice, room_id, CALL, {"call_id": ""}, "_@alice:test_D")

    for form in ("by path", "by body"):
        if form == "by path":
            answer = await act(server.anonymous, delay_id, "restart")
        else:
            path = f"{UNSTABLE}/delayed_events/{delay_id}"
            answer = await server.anonymous.post(path, {"action": "restart"})
        assert (answer.status, answer.json) == (200, {})
    assert await state_of(alice, room_id, CALL, "_@alice:test_D") == {"call_id": ""}

    assert (await act(server.anonymous, delay_id, "send")).status == 200

    assert await state_of(alice, room_id, CALL, "_@alice:test_D") == {}
    shown = await get(alice, delay_id)
    assert shown["finalised"]["event_id"].startswith("$")
    assert shown["state_key"] == "_@alice:test_D"


@pytest.mark.parametrize("key", ["delay", "delay_ms"])
@pytest.mark.parametrize(
    "prefix", ["/v3", "/unstable/org.matrix.msc4140"], ids=["stable", "unstable"]
)
async def test_the_endpoint_of_the_merged_proposal(
    server: Server, prefix: str, key: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    path = f"{prefix}/rooms/{room_id}/delayed_event/m.room.topic/txn"
    body = {key: HOUR_MS, "state_key": "", "content": {"topic": "later"}}

    first = await alice.put(path, body)
    again = await alice.put(path, body)

    assert first.status == 200, first.body
    assert first.json == again.json
    delay_id = first.json["delay_id"]
    shown = await get(alice, delay_id)
    since = shown.pop("delayed_since_ts")
    assert shown == {
        "delay_id": delay_id,
        "room_id": room_id,
        "type": "m.room.topic",
        "state_key": "",
        "content": {"topic": "later"},
        "delay_ms": HOUR_MS,
        "delay": HOUR_MS,
        "running_since": since,
    }
    assert (await alice.post(f"/v1/delayed_events/{delay_id}/send", {})).status == 200
    assert await state_of(alice, room_id, "m.room.topic") == {"topic": "later"}


async def test_what_is_waiting_and_what_has_ended_is_listed(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    late = await schedule(alice, room_id, 2 * HOUR_MS, TEXT, txn_id="1")
    soon = await schedule(alice, room_id, HOUR_MS, TEXT, txn_id="2")
    cancelled = await schedule(alice, room_id, HOUR_MS, TEXT, txn_id="3")
    assert (await act(alice, cancelled, "cancel")).status == 200

    whole = (await alice.get(f"{UNSTABLE}/delayed_events")).json
    scheduled = (await alice.get("/v1/delayed_events?status=scheduled")).json
    finalised = (await alice.get(f"{UNSTABLE}/delayed_events?status=finalised")).json

    assert [each["delay_id"] for each in whole["delayed_events"]] == [soon, late]
    assert whole["scheduled"] == whole["delayed_events"]
    assert set(scheduled) == {"scheduled", "delayed_events"}
    assert whole["finalised"] == finalised["finalised"]
    [ended] = finalised["finalised"]
    assert ended["delay_id"] == cancelled
    assert (ended["outcome"], ended["reason"]) == ("cancel", "action")
    assert set(ended["finalised"]) == {"finalised_ts"}
    refused = await alice.get("/v1/delayed_events?status=x")
    assert error_of(refused) == (400, "M_INVALID_PARAM")
    assert not any((await bob.get(f"{UNSTABLE}/delayed_events")).json.values())
    others = await bob.get(f"/v1/delayed_events/{soon}")
    assert error_of(others) == (404, "M_NOT_FOUND")


async def test_what_has_ended_can_not_end_otherwise(server: Server) -> None:
    """\"To allow safely retrying requests" the same action succeeds again."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    sent = await schedule(alice, room_id, HOUR_MS, TEXT, txn_id="1")
    cancelled = await schedule(alice, room_id, HOUR_MS, TEXT, txn_id="2")
    for _ in range(2):
        assert (await act(alice, sent, "send")).status == 200
        assert (await act(alice, cancelled, "cancel")).status == 200

    for delay_id, action in (
        (sent, "cancel"),
        (sent, "restart"),
        (cancelled, "send"),
        (cancelled, "restart"),
    ):
        answer = await act(alice, delay_id, action)
        assert error_of(answer) == (409, "M_UNKNOWN")
    messages = (await alice.get(f"/v3/rooms/{room_id}/messages?dir=b")).json["chunk"]
    assert [each["content"] for each in messages].count(TEXT) == 1


async def test_rights_are_looked_at_when_it_is_sent(server: Server) -> None:
    """\"It's also possible to successfully schedule an event that the user has no
    permission to send".
    """
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    delay_id = await schedule(bob, room_id, HOUR_MS, TEXT)

    refused = await act(bob, delay_id, "send")
    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert "finalised" not in await get(bob, delay_id)

    await alice.post(f"/v3/rooms/{room_id}/invite", {"user_id": BOB})
    await join(bob, room_id)
    assert (await act(bob, delay_id, "send")).status == 200


async def test_state_that_somebody_else_sets_cancels_it(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice,
        preset="public_chat",
        power_level_content_override={"events": {CALL: 0}},
    )
    await join(bob, room_id)
    delay_id = await schedule(alice, room_id, HOUR_MS, state_key="_call")

    await set_state(alice, room_id, CALL, {"mine": 1}, "_call")
    assert "finalised" not in await get(alice, delay_id)
    await set_state(bob, room_id, CALL, {"his": 1}, "_call")

    answer = await act(alice, delay_id, "send")
    assert error_of(answer) == (409, "M_UNKNOWN")
    error = (await get(alice, delay_id))["finalised"]["error"]
    assert error["org.matrix.msc4140.errcode"] == "M_CANCELLED_BY_STATE_UPDATE"
    assert await state_of(alice, room_id, CALL, "_call") == {"his": 1}


async def test_a_redaction_may_be_delayed(server: Server) -> None:
    """Self-destructing messages."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id, "secret")
    path = f"/v3/rooms/{room_id}/delayed_event/m.room.redaction/1"
    body = {"delay_ms": HOUR_MS, "content": {"redacts": event_id}}
    delay_id = (await alice.put(path, body)).json["delay_id"]

    assert (await act(alice, delay_id, "send")).status == 200

    path = f"/v3/rooms/{room_id}/event/{quote(event_id, safe='')}"
    assert (await alice.get(path)).json["content"] == {}


async def test_guests_may_delay_events(server: Server) -> None:
    visitor = await guest(server)
    delay_id = await schedule(visitor, "!any:test", HOUR_MS, TEXT)

    listed = (await visitor.get(f"{UNSTABLE}/delayed_events")).json["delayed_events"]
    assert [each["delay_id"] for each in listed] == [delay_id]
    assert (await act(visitor, delay_id, "cancel")).status == 200


async def test_closed_accounts_leave_nothing_waiting(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    delay_id = await schedule(alice, room_id, HOUR_MS, TEXT)
    body = {
        "auth": {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": ALICE},
            "password": "correct horse",
        }
    }
    assert (await alice.post("/v3/account/deactivate", body)).status == 200

    assert error_of(await act(bob, delay_id, "send")) == (404, "M_NOT_FOUND")


@table_of_refusals
@pytest.mark.parametrize(
    "delay", ["0", "-1", "x", "1.5", "", "9" * 30, "NaN", "%00", "1e3"]
)
async def test_a_bad_delay_is_refused(server: Server, delay: str) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    path = f"/v3/rooms/{room_id}/send/m.room.message/1"
    answer = await alice.put(f"{path}?org.matrix.msc4140.delay={delay}", TEXT)

    assert error_of(answer) == (400, "M_INVALID_PARAM")
    assert not (await alice.get(f"{UNSTABLE}/delayed_events")).json["scheduled"]


@table_of_refusals
@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"content": {}}, "M_MISSING_PARAM"),
        ({"content": {}, "delay_ms": 0}, "M_INVALID_PARAM"),
        ({"content": {}, "delay_ms": -5}, "M_INVALID_PARAM"),
        ({"content": {}, "delay_ms": 2**60}, "M_INVALID_PARAM"),
        ({"content": {}, "delay_ms": "5"}, "M_BAD_JSON"),
        ({"content": {}, "delay_ms": True}, "M_BAD_JSON"),
        ({"content": [], "delay_ms": 5}, "M_BAD_JSON"),
        ({"content": {"x": 1.5}, "delay_ms": 5}, "M_BAD_JSON"),
        ({"content": {"x": 2**60}, "delay_ms": 5}, "M_BAD_JSON"),
        ({"content": {}, "delay_ms": 5, "state_key": 7}, "M_BAD_JSON"),
        ({"content": {"x": "x" * 70_000}, "delay_ms": 5}, "M_TOO_LARGE"),
        ({"content": {}, "delay_ms": 5, "state_key": "ä" * 128}, "M_TOO_LARGE"),
    ],
)
async def test_a_bad_body_is_refused(
    server: Server, body: object, errcode: str
) -> None:
    alice = server.client(ALICE)

    answer = await alice.put("/v3/rooms/!any:test/delayed_event/m.x/1", body)

    assert answer.json["errcode"] == errcode


async def test_unknown_events_and_actions_are_refused(server: Server) -> None:
    alice = server.client(ALICE)
    delay_id = await schedule(alice, "!any:test", HOUR_MS, TEXT)

    for action in ("send", "cancel", "restart"):
        answer = await act(alice, "guessed", action)
        assert error_of(answer) == (404, "M_NOT_FOUND")
    assert error_of(await act(alice, delay_id, "x")) == (400, "M_INVALID_PARAM")
    path = f"{UNSTABLE}/delayed_events/{delay_id}"
    assert error_of(await alice.post(path, {"action": 7})) == (400, "M_BAD_JSON")
    assert error_of(await alice.post(path, {})) == (400, "M_MISSING_PARAM")
    assert error_of(await server.anonymous.get(path)) == (401, "M_MISSING_TOKEN")
    assert len({*delay_id}) > 10
    assert len(delay_id) >= 32


async def test_limits_are_told_and_kept(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        delayed_events=DelayedEvents(max_delay_s=60, max_scheduled=2),
    )
    async with running_server(config) as server:
        alice = server.client(ALICE)
        path = "/v3/rooms/!any:test/send/m.x/1?org.matrix.msc4140.delay=60001"
        too_late = await alice.put(path, {})
        for txn_id in ("1", "2"):
            await schedule(alice, "!any:test", 60_000, TEXT, txn_id=txn_id)
        path = "/v3/rooms/!any:test/delayed_event/m.x/3"
        too_many = await alice.put(path, {"delay_ms": 1, "content": {}})
        capabilities = (await alice.get("/v3/capabilities")).json["capabilities"]
        versions = (await alice.get("/_matrix/client/versions")).json

    assert error_of(too_late) == (400, "M_UNKNOWN")
    assert too_late.json["org.matrix.msc4140.errcode"] == "M_MAX_DELAY_EXCEEDED"
    assert too_late.json["org.matrix.msc4140.max_delay"] == 60_000
    assert error_of(too_many) == (429, "M_LIMIT_EXCEEDED")
    assert 0 < int(too_many.headers["retry-after"]) <= 60
    limits = {"max_delay_ms": 60_000, "max_scheduled": 2}
    assert capabilities["m.delayed_events"] == limits
    assert capabilities["org.matrix.msc4140.delayed_events"] == limits
    assert versions["unstable_features"]["org.matrix.msc4140"] is True


async def test_an_operator_may_refuse_them(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        delayed_events=DelayedEvents(max_delay_s=0),
    )
    async with running_server(config) as server:
        path = "/v3/rooms/!any:test/send/m.x/1?org.matrix.msc4140.delay=5"
        refused = await server.client(ALICE).put(path, {})

    assert error_of(refused) == (403, "M_FORBIDDEN")


@pytest.mark.one_process(reason="each process counts what it lets through")
async def test_what_is_sent_counts_as_messages(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    """So that nobody has a flood prepared."""
    config = replace(
        config_for(database_source, tmp_path),
        rate_limits=RateLimits(
            message=RateLimit(per_second=0.001, burst=3),
            registration=RateLimit(per_second=100, burst=100),
        ),
    )
    async with running_server(config) as server:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        delay_ids = [
            await schedule(alice, room_id, HOUR_MS, TEXT, txn_id=str(number))
            for number in range(3)
        ]
        limited = await alice.put(f"/v3/rooms/{room_id}/send/m.x/x", {})
        refused = await act(server.anonymous, delay_ids[0], "send")
        shown = await get(alice, delay_ids[0])

    assert error_of(limited) == (429, "M_LIMIT_EXCEEDED")
    assert error_of(refused) == (429, "M_LIMIT_EXCEEDED")
    assert "finalised" not in shown
