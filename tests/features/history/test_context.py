"""CS getEventContext and getEventByTimestamp, over HTTP."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, error_of, join, send, set_state
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.config import PostgresUrl, SqliteFile

ALICE, BOB = "@alice:test", "@bob:test"


async def context(
    client: Client, room_id: str, event_id: str, **query: str | int
) -> dict[str, Any]:
    path = f"/v3/rooms/{room_id}/context/{quote(event_id, safe='')}"
    response = await client.get(path, query=query)
    assert response.status == 200, response.body
    found: dict[str, Any] = response.json
    return found


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["content"].get("body") for event in events]


async def test_events_around_come_nearest_first(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_ids = [await send(alice, room_id, str(number)) for number in range(9)]

    found = await context(alice, room_id, event_ids[4], limit=5)

    assert found["event"]["event_id"] == event_ids[4]
    assert texts(found["events_before"]) == ["3", "2"]
    assert texts(found["events_after"]) == ["5", "6", "7"]
    path = f"/v3/rooms/{room_id}/messages"
    older = await alice.get(
        path, query={"dir": "b", "limit": 1, "from": found["start"]}
    )
    newer = await alice.get(path, query={"dir": "f", "limit": 1, "from": found["end"]})
    assert texts(older.json["chunk"]) == ["1"]
    assert texts(newer.json["chunk"]) == ["8"]


async def test_a_limit_of_zero_leaves_the_event(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id, "alone")

    found = await context(alice, room_id, event_id, limit=0)

    assert found["event"]["event_id"] == event_id
    assert found["events_before"] == found["events_after"] == []


async def test_the_state_is_that_of_the_last_event(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Old")
    event_id = await send(alice, room_id)
    await set_state(alice, room_id, "m.room.name", {"name": "New"})
    await join(bob, room_id)

    at_event = await context(alice, room_id, event_id, limit=0)
    now = await context(alice, room_id, event_id, limit=10)
    lazy = orjson.dumps({"lazy_load_members": True, "types": ["m.room.m*"]}).decode()
    lazily = await context(alice, room_id, event_id, limit=0, filter=lazy)

    def names(found: dict[str, Any]) -> list[str]:
        return [e["content"]["name"] for e in found["state"] if "name" in e["content"]]

    def members(found: dict[str, Any]) -> set[str]:
        member = "m.room.member"
        return {e["state_key"] for e in found["state"] if e["type"] == member}

    assert (names(at_event), members(at_event)) == (["Old"], {ALICE})
    assert (names(now), members(now)) == (["New"], {ALICE, BOB})
    assert [event["state_key"] for event in lazily["state"]] == [ALICE]


async def test_the_closest_event_to_a_time_is_found(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)
    path = f"/v1/rooms/{room_id}/timestamp_to_event"

    newest = await alice.get(path, query={"ts": 2**52, "dir": "b"})
    oldest = await alice.get(path, query={"ts": 0, "dir": "f"})
    none = await alice.get(path, query={"ts": 2**52, "dir": "f"})

    assert newest.json["event_id"] == event_id
    created = await alice.get(f"/v3/rooms/{room_id}/state/m.room.create?format=event")
    assert oldest.json["event_id"] == created.json["event_id"]
    assert error_of(none) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ("dir=b", "M_MISSING_PARAM"),
        ("ts=0", "M_MISSING_PARAM"),
        ("ts=x&dir=b", "M_INVALID_PARAM"),
        ("ts=0&dir=x", "M_INVALID_PARAM"),
    ],
)
async def test_a_malformed_time_is_refused(
    server: Server, query: str, errcode: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    refused = await alice.get(f"/v1/rooms/{room_id}/timestamp_to_event?{query}")

    assert error_of(refused) == (400, errcode)


async def test_no_number_of_hidden_events_hides_the_closest_one(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path, clock: FakeClock
) -> None:
    """More than one query reads lie between what the user may see."""
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        alice, bob = server.client(ALICE), server.client(BOB)
        visibility = {"history_visibility": "joined"}
        room_id = await create_room(
            alice,
            preset="public_chat",
            initial_state=[
                {"type": "m.room.history_visibility", "content": visibility}
            ],
        )
        await join(bob, room_id)
        clock.advance_ms(10)
        await bob.post(f"/v3/rooms/{room_id}/leave", {})
        left_ms = clock.now_ms()
        clock.advance_ms(10)
        await asyncio.gather(*(send(alice, room_id) for _ in range(501)))
        hidden_ms = clock.now_ms()
        clock.advance_ms(10)
        await join(bob, room_id)

        path = f"/v1/rooms/{room_id}/timestamp_to_event"
        before = await bob.get(path, query={"ts": hidden_ms, "dir": "b"})
        after = await bob.get(path, query={"ts": hidden_ms, "dir": "f"})

    assert before.json["origin_server_ts"] == left_ms
    assert after.json["origin_server_ts"] == clock.now_ms()


async def test_of_events_at_one_time_the_first_on_the_way_is_found(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path, clock: FakeClock
) -> None:
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        clock.advance_ms(10)
        event_ids = [await send(alice, room_id) for _ in range(3)]

        path = f"/v1/rooms/{room_id}/timestamp_to_event"
        before = await alice.get(path, query={"ts": clock.now_ms(), "dir": "b"})
        after = await alice.get(path, query={"ts": clock.now_ms(), "dir": "f"})

    assert before.json["event_id"] == event_ids[-1]
    assert after.json["event_id"] == event_ids[0]


async def test_an_outsider_learns_no_event_by_its_time(server: Server) -> None:
    room_id = await create_room(server.client(ALICE), preset="public_chat")

    refused = await server.client(BOB).get(
        f"/v1/rooms/{room_id}/timestamp_to_event?ts=0&dir=f"
    )

    assert error_of(refused) == (403, "M_FORBIDDEN")
