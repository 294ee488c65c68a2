"""Memberships that several change at the same time, over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.features.rooms import create_room, error_of, join, member, state
from tests.server import Server
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.rooms import Rooms
from tremula.rooms.storage import UserRoom

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
LEVELS = {"users": {ALICE: 100, CAROL: 60}}

Meanwhile = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def just_before(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have something else done before the next event is sent, which is decided upon."""
    waiting: list[Callable[[], Awaitable[object]]] = []
    append = Rooms.append

    async def append_late(
        rooms: Rooms, room_id: RoomId, drafts: Sequence[Draft]
    ) -> list[EventId]:
        if waiting:
            await waiting.pop()()
        return await append(rooms, room_id, drafts)

    monkeypatch.setattr(Rooms, "append", append_late)
    return waiting.append


async def _moderated_room(server: Server) -> str:
    """A room of two moderators, and of Bob."""
    room_id = await create_room(
        server.client(ALICE),
        room_version="11",
        preset="public_chat",
        power_level_content_override=LEVELS,
    )
    for user_id in (BOB, CAROL):
        await join(server.client(user_id), room_id)
    return room_id


async def test_a_kick_lifts_no_ban(server: Server, just_before: Meanwhile) -> None:
    alice, carol = server.client(ALICE), server.client(CAROL)
    room_id = await _moderated_room(server)
    just_before(lambda: member(carol, room_id, "ban", BOB))

    kicked = await member(alice, room_id, "kick", BOB)

    assert error_of(kicked) == (403, "M_FORBIDDEN")
    bob = await state(alice, room_id, "m.room.member", BOB)
    assert bob["membership"] == "ban"


async def test_lifting_a_ban_removes_nobody(
    server: Server, just_before: Meanwhile
) -> None:
    alice, bob, carol = (server.client(each) for each in (ALICE, BOB, CAROL))
    room_id = await _moderated_room(server)
    await member(alice, room_id, "ban", BOB)

    async def let_in() -> None:
        await member(carol, room_id, "unban", BOB)
        await join(bob, room_id)

    just_before(let_in)

    lifted = await member(alice, room_id, "unban", BOB)

    assert error_of(lifted) == (400, "M_BAD_STATE")
    assert (await bob.get("/v3/joined_rooms")).json == {"joined_rooms": [room_id]}


async def test_whoever_rejoins_as_they_forget_a_room_is_in_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = server.client(BOB)
    room_id = await _moderated_room(server)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    since = (await bob.get("/v3/sync")).json["next_batch"]
    forget = Memberships.forget
    late = [room_id]

    async def forget_late(
        memberships: Memberships, user_id: UserId, room: UserRoom
    ) -> None:
        if late:
            await join(bob, late.pop())
        await forget(memberships, user_id, room)

    monkeypatch.setattr(Memberships, "forget", forget_late)

    forgotten = await bob.post(f"/v3/rooms/{room_id}/forget", {})

    assert error_of(forgotten) == (400, "M_UNKNOWN")
    assert (await bob.get("/v3/joined_rooms")).json == {"joined_rooms": [room_id]}
    news = (await bob.get("/v3/sync", query={"since": since})).json["rooms"]
    assert room_id in news["join"]


async def test_who_leaves_twice_at_once_has_left(server: Server) -> None:
    bob = server.client(BOB)
    room_id = await _moderated_room(server)

    left = await asyncio.gather(
        *(bob.post(f"/v3/rooms/{room_id}/leave", {}) for _ in range(3))
    )

    assert [each.status for each in left] == [200, 200, 200]


async def test_who_joins_twice_at_once_joins_once(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client("@dave:test")
    room_id = await _moderated_room(server)
    since = (await alice.get("/v3/sync")).json["next_batch"]
    await bob.get("/v3/joined_rooms")

    joined = await asyncio.gather(
        *(bob.post(f"/v3/rooms/{room_id}/join", {}) for _ in range(3))
    )

    assert [each.status for each in joined] == [200, 200, 200]
    news = (await alice.get("/v3/sync", query={"since": since})).json["rooms"]
    assert len(news["join"][room_id]["timeline"]["events"]) == 1
