"""History visibility in `/sync`, where users come and go."""

from typing import Any

import pytest

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sync.syncing import bodies, room_of, sync, token
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"
ALL = {"room": {"timeline": {"limit": 100}, "include_leave": True}}


async def _room(alice: UserClient, visibility: str) -> str:
    content = {"history_visibility": visibility}
    state = {"type": "m.room.history_visibility", "content": content}
    return await create_room(alice, preset="public_chat", initial_state=[state])


async def _seen_by_bob(server: Server, room_id: str, section: str) -> dict[str, Any]:
    answer = await sync(server.client(BOB), filter=ALL)
    return room_of(answer, room_id, section)


@pytest.mark.parametrize(
    ("visibility", "seen"),
    [
        ("world_readable", ["before", "invited", "joined"]),
        ("shared", ["before", "invited", "joined"]),
        ("invited", ["invited", "joined"]),
        ("joined", ["joined"]),
    ],
)
async def test_newcomers_see_what_the_setting_lets_them(
    server: Server, visibility: str, seen: list[str]
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room(alice, visibility)
    await send(alice, room_id, "before")
    await bob.get("/v3/account/whoami")
    await member(alice, room_id, "invite", BOB)
    since = await token(bob)
    await send(alice, room_id, "invited")
    await join(bob, room_id)
    await send(alice, room_id, "joined")

    for answer in (await sync(bob, filter=ALL), await sync(bob, since, filter=ALL)):
        entry = room_of(answer, room_id)
        assert bodies(entry) == seen
        own = [e for e in entry["timeline"]["events"] if e.get("state_key") == BOB]
        assert own[-1]["content"]["membership"] == "join"


@pytest.mark.parametrize("visibility", ["shared", "invited", "joined"])
async def test_who_left_sees_nothing_after(server: Server, visibility: str) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room(alice, visibility)
    await join(bob, room_id)
    await send(alice, room_id, "joined")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await send(alice, room_id, "after")
    await member(alice, room_id, "invite", BOB)
    await send(alice, room_id, "invited")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})

    entry = await _seen_by_bob(server, room_id, "leave")

    assert bodies(entry) == ["joined"]


@pytest.mark.parametrize(
    ("visibility", "seen"),
    [
        ("shared", ["first", "away", "again"]),
        ("joined", ["first", "again"]),
    ],
)
async def test_who_comes_back_sees_the_time_between_if_it_is_shared(
    server: Server, visibility: str, seen: list[str]
) -> None:
    """What is hidden in the midst of a timeline is a gap only if state is hidden."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room(alice, visibility)
    await join(bob, room_id)
    await send(alice, room_id, "first")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await send(alice, room_id, "away")
    await join(bob, room_id)
    await send(alice, room_id, "again")

    assert bodies(await _seen_by_bob(server, room_id, "join")) == seen


async def test_a_change_of_the_setting_counts_from_there_on(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room(alice, "joined")
    await send(alice, room_id, "hidden")
    content = {"history_visibility": "shared"}
    await set_state(alice, room_id, "m.room.history_visibility", content)
    await send(alice, room_id, "shown")
    await join(bob, room_id)

    entry = await _seen_by_bob(server, room_id, "join")

    assert bodies(entry) == ["shown"]
    shown = [
        event["content"]
        for event in entry["timeline"]["events"]
        if event["type"] == "m.room.history_visibility"
    ]
    assert shown[-1:] == [content]


async def test_state_from_before_is_shown_to_members(server: Server) -> None:
    """The visibility is that of events; the state is what the room is."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room(alice, "joined")
    await set_state(alice, room_id, "m.room.topic", {"topic": "Trees"})
    await join(bob, room_id)

    entry = await _seen_by_bob(server, room_id, "join")

    topics = [e for e in entry["state"]["events"] if e["type"] == "m.room.topic"]
    assert [event["content"] for event in topics] == [{"topic": "Trees"}]


async def test_what_a_hidden_event_replaced_is_named_but_not_shown(
    server: Server,
) -> None:
    """``replaces_state`` is given "regardless of history visibility"."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room(alice, "joined")
    hidden = await set_state(alice, room_id, "m.room.topic", {"topic": "hidden"})
    await join(bob, room_id)
    await set_state(alice, room_id, "m.room.topic", {"topic": "shown"})

    entry = await _seen_by_bob(server, room_id, "join")

    unsigned = entry["timeline"]["events"][-1]["unsigned"]
    assert unsigned["replaces_state"] == hidden.json["event_id"]
    assert "prev_content" not in unsigned
