"""The state of rooms in `/sync`: at the timeline's start, or after it (MSC4222)."""

from typing import Any

import pytest

from tests.features.rooms import create_room, join, send, set_state
from tests.features.sync.syncing import ids, keys, room_of, sync, token
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"
TOPIC = ("m.room.topic", "")
UNSTABLE = "org.matrix.msc4222.use_state_after"
ONE = {"room": {"timeline": {"limit": 1}}}


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat", topic="old")
    await join(bob, room_id)
    return room_id


async def _set_topic(client: UserClient, room_id: str, topic: str) -> None:
    response = await set_state(client, room_id, "m.room.topic", {"topic": topic})
    assert response.status == 200


def _topics(events: list[dict[str, Any]]) -> list[str]:
    return [e["content"]["topic"] for e in events if e["type"] == "m.room.topic"]


async def test_state_is_that_at_the_start_of_the_timeline(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await send(alice, room_id)
    await _set_topic(alice, room_id, "new")

    two = {"room": {"timeline": {"limit": 2}}}
    entry = room_of(await sync(bob, filter=two), room_id)

    assert _topics(entry["state"]["events"]) == ["old"]
    assert _topics(entry["timeline"]["events"]) == ["new"]
    assert "state_after" not in entry


async def test_state_after_is_that_at_the_end_of_the_timeline(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await _set_topic(alice, room_id, "new")

    entry = room_of(await sync(bob, use_state_after=True), room_id)

    assert _topics(entry["state_after"]["events"]) == ["new"]
    assert {("m.room.create", ""), ("m.room.member", BOB)} <= keys(
        entry["state_after"]["events"]
    )
    assert "state" not in entry


async def test_the_unstable_name_of_state_after_works_as_well(server: Server) -> None:
    """MSC4222, for clients from before it was merged."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await _set_topic(alice, room_id, "new")

    entry = room_of(await sync(bob, **{UNSTABLE: True}), room_id)

    state = entry["org.matrix.msc4222.state_after"]["events"]
    assert _topics(state) == ["new"]
    assert not {"state", "state_after"} & entry.keys()


async def test_the_state_is_empty_if_the_timeline_has_all_of_it(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    await _set_topic(alice, room_id, "new")
    await send(alice, room_id)

    at_start = room_of(await sync(bob, since), room_id)
    after = room_of(await sync(bob, since, use_state_after=True), room_id)

    assert at_start["state"]["events"] == []
    assert _topics(after["state_after"]["events"]) == ["new"]
    assert len(after["timeline"]["events"]) == 2
    assert after["timeline"]["limited"] is False


async def test_a_limited_timeline_has_the_state_of_the_gap(server: Server) -> None:
    """Only what changed, once a key; what is in the timeline stands there."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    await _set_topic(alice, room_id, "first")
    await _set_topic(alice, room_id, "second")
    await set_state(alice, room_id, "m.room.name", {"name": "Trees"})
    await send(alice, room_id)
    await _set_topic(alice, room_id, "third")

    at_start = room_of(await sync(bob, since, filter=ONE), room_id)
    after = room_of(await sync(bob, since, filter=ONE, use_state_after=True), room_id)

    assert at_start["timeline"]["limited"] is after["timeline"]["limited"] is True
    assert keys(at_start["state"]["events"]) == {TOPIC, ("m.room.name", "")}
    assert _topics(at_start["state"]["events"]) == ["second"]
    assert _topics(at_start["timeline"]["events"]) == ["third"]
    assert keys(after["state_after"]["events"]) == {TOPIC, ("m.room.name", "")}
    assert _topics(after["state_after"]["events"]) == ["third"]


async def test_state_after_is_there_even_when_it_is_empty(server: Server) -> None:
    """It tells clients that the server knows of it."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    await send(alice, room_id)

    entry = room_of(await sync(bob, since, use_state_after=True), room_id)

    assert entry["state_after"] == {"events": []}


@pytest.mark.parametrize(
    ("query", "key"), [({}, "state"), ({"use_state_after": True}, "state_after")]
)
async def test_full_state_is_of_every_joined_room_at_once(
    server: Server, query: dict[str, object], key: str
) -> None:
    """Even without news: the timeline is that since the token, and nobody waits."""
    alice, bob = server.client(ALICE), server.client(BOB)
    busy, quiet = await _room_of(alice, bob), await _room_of(alice, bob)
    since = await token(bob)
    event_id = await send(alice, busy)

    answer = await sync(bob, since, full_state=True, timeout=60_000, **query)

    for room_id, shown in ((busy, [event_id]), (quiet, [])):
        entry = room_of(answer, room_id)
        state = await bob.get(f"/v3/rooms/{room_id}/state")
        assert ids(entry["timeline"]["events"]) == shown
        assert set(ids(entry[key]["events"])) == set(ids(state.json))
        assert entry["summary"]["m.joined_member_count"] == 2


async def test_a_new_room_comes_with_its_whole_state(server: Server) -> None:
    """Joined since the last sync: as if there had been none."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", topic="old")
    since = await token(bob)
    await join(bob, room_id)

    entry = room_of(await sync(bob, since, filter=ONE), room_id)
    after = room_of(await sync(bob, since, filter=ONE, use_state_after=True), room_id)

    state = await bob.get(f"/v3/rooms/{room_id}/state")
    [joining] = entry["timeline"]["events"]
    assert {*ids(entry["state"]["events"]), joining["event_id"]} == set(ids(state.json))
    assert set(ids(after["state_after"]["events"])) == set(ids(state.json))
