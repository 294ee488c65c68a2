"""A delayed leave is sent after the server has crashed, and once."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from tests.crash.person import Person, http_session, register
from tests.homeserver import Homeserver

CALL = "org.matrix.msc3401.call.member"


@pytest.fixture
async def alice(homeserver: Homeserver) -> AsyncIterator[Person]:
    """In a call."""
    async with http_session() as session:
        yield await register(session, homeserver.url, "alice")


async def test_a_call_is_left_though_the_server_crashes(
    homeserver: Homeserver, alice: Person
) -> None:
    """At a time when no server runs, for most of the devices."""
    room_id = await alice.create_room()
    path = f"/rooms/{quote(room_id)}/state/{CALL}/_alice"
    for number in range(20):
        await alice.call(
            "PUT",
            f"{path}_{number}",
            {"left": number},
            {"org.matrix.msc4140.delay": 300},
        )
        await alice.call("PUT", f"{path}_{number}", {"call_id": ""})
    await alice.call(
        "PUT", f"{path}_late", {"left": 99}, {"org.matrix.msc4140.delay": 3_600_000}
    )
    await homeserver.kill()
    await homeserver.start()

    left = await _left(alice, room_id, 20)

    assert sorted(left) == sorted({*left}), "one leave of each"
    assert 99 not in left


async def _left(person: Person, room_id: str, count: int) -> list[int]:
    """What the leaves in the room say, as soon as there are *count*."""
    left: dict[str, int] = {}
    query: dict[str, str | int] = {"timeout": 20_000}
    while len(left) < count:
        answer = await person.call("GET", "/sync", query=query)
        query["since"] = answer["next_batch"]
        room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
        timeline = room.get("timeline", {})
        events = timeline.get("events", [])
        if timeline.get("limited") and "prev_batch" in timeline:
            page = await person.call(
                "GET",
                f"/rooms/{quote(room_id)}/messages",
                query={"dir": "b", "from": timeline["prev_batch"], "limit": 1000},
            )
            events = [*page["chunk"], *events]
        left |= {
            event["event_id"]: event["content"]["left"]
            for event in events
            if "left" in event.get("content", {})
        }
    return list(left.values())
