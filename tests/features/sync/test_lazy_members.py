"""Lazy-loaded members in `/sync` (CS "Lazy-loading room members")."""

from pathlib import Path
from typing import Any

from tests.features.rooms import create_room, join, member, send
from tests.features.sync.syncing import members, room_of, sync, token
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.config import PostgresUrl, SqliteFile

ALICE = "@alice:test"
BOB = "@bob:test"
CAROL = "@carol:test"
DAVE = "@dave:test"


def _lazy(limit: int = 10, **wanted: object) -> dict[str, Any]:
    state = {"lazy_load_members": True, **wanted}
    return {"room": {"state": state, "timeline": {"limit": limit}}}


async def _big_room(server: Server) -> str:
    """A room with a name, so that it has no heroes, and four members."""
    room_id = await create_room(
        server.client(ALICE), preset="public_chat", name="Trees"
    )
    for user_id in (BOB, CAROL, DAVE):
        await join(server.client(user_id), room_id)
    return room_id


def _state_members(answer: dict[str, Any], room_id: str) -> set[str]:
    found = members(room_of(answer, room_id)["state"]["events"])
    assert len(found) == len(set(found))
    return set(found)


async def test_only_the_senders_of_the_timeline_and_oneself_are_sent(
    server: Server,
) -> None:
    room_id = await _big_room(server)
    bob = server.client(BOB)
    await send(server.client(CAROL), room_id)

    lazy = await sync(bob, filter=_lazy(1))
    after = await sync(bob, filter=_lazy(1), use_state_after=True)
    eager = await sync(bob, filter={"room": {"timeline": {"limit": 1}}})

    assert _state_members(lazy, room_id) == {BOB, CAROL}
    assert set(members(room_of(after, room_id)["state_after"]["events"])) == {
        BOB,
        CAROL,
    }
    assert _state_members(eager, room_id) == {ALICE, BOB, CAROL, DAVE}
    types = {e["type"] for e in room_of(lazy, room_id)["state"]["events"]}
    assert {"m.room.create", "m.room.name"} <= types


async def test_the_heroes_are_sent_as_well(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", invite=[DAVE])
    await join(bob, room_id)
    await send(bob, room_id)

    answer = await sync(bob, filter=_lazy(1))

    assert room_of(answer, room_id)["summary"]["m.heroes"] == [ALICE, DAVE]
    assert _state_members(answer, room_id) == {ALICE, BOB, DAVE}


async def test_a_member_is_sent_to_a_device_once(server: Server) -> None:
    room_id = await _big_room(server)
    carol, bob = server.client(CAROL), server.client(BOB)
    since = await token(bob, filter=_lazy(1))

    await send(carol, room_id)
    first = await sync(bob, since, filter=_lazy())
    await send(carol, room_id)
    second = await sync(bob, first["next_batch"], filter=_lazy())

    assert _state_members(first, room_id) == {CAROL}
    assert _state_members(second, room_id) == set()


async def test_redundant_members_are_sent_on_request(server: Server) -> None:
    room_id = await _big_room(server)
    carol, bob = server.client(CAROL), server.client(BOB)
    wanted = _lazy(include_redundant_members=True)
    since = await token(bob, filter=wanted)

    for _ in range(2):
        await send(carol, room_id)
        answer = await sync(bob, since, filter=wanted)
        since = answer["next_batch"]
        assert _state_members(answer, room_id) == {CAROL}


async def test_a_member_of_a_lost_answer_is_sent_again(server: Server) -> None:
    """The client asks with the old token: it has not got what was sent."""
    room_id = await _big_room(server)
    bob = server.client(BOB)
    since = await token(bob, filter=_lazy(1))
    await send(server.client(CAROL), room_id)

    for _ in range(2):
        answer = await sync(bob, since, filter=_lazy())
        assert _state_members(answer, room_id) == {CAROL}


async def test_each_device_is_sent_its_members(server: Server) -> None:
    room_id = await _big_room(server)
    phone = server.client(BOB, device_id="PHONE")
    laptop = server.client(BOB, device_id="LAPTOP")
    since = await token(phone, filter=_lazy(1))
    await send(server.client(CAROL), room_id)

    for device in (phone, laptop):
        answer = await sync(device, since, filter=_lazy())
        assert _state_members(answer, room_id) == {CAROL}


async def test_who_begins_anew_has_got_nobody(server: Server) -> None:
    """A device that dropped what it had syncs without a token."""
    room_id = await _big_room(server)
    carol, bob = server.client(CAROL), server.client(BOB)
    await send(carol, room_id)
    known = await sync(bob, filter=_lazy(1))
    await send(server.client(DAVE), room_id)

    anew = await sync(bob, filter=_lazy(1))
    await send(carol, room_id)
    answer = await sync(bob, anew["next_batch"], filter=_lazy())

    assert _state_members(known, room_id) == {BOB, CAROL}
    assert _state_members(anew, room_id) == {BOB, DAVE}
    assert _state_members(answer, room_id) == {CAROL}


async def test_members_of_a_gap_are_sent_even_if_they_are_redundant(
    server: Server,
) -> None:
    """ "This ensures that joins/leaves and profile changes … are not lost"."""
    room_id = await _big_room(server)
    alice, bob = server.client(ALICE), server.client(BOB)
    since = await token(bob, filter=_lazy())
    await member(alice, room_id, "kick", DAVE)
    await server.client(CAROL).put(
        f"/v3/rooms/{room_id}/state/m.room.member/{CAROL}",
        {"membership": "join", "displayname": "Carol!"},
    )
    for _ in range(3):
        await send(alice, room_id)

    answer = await sync(bob, since, filter=_lazy(2))

    assert room_of(answer, room_id)["timeline"]["limited"] is True
    assert _state_members(answer, room_id) >= {CAROL, DAVE}


async def test_who_joins_in_the_timeline_is_not_sent_twice(server: Server) -> None:
    room_id = await _big_room(server)
    bob, erin = server.client(BOB), server.client("@erin:test")
    since = await token(bob, filter=_lazy())
    await join(erin, room_id)
    await send(erin, room_id)
    first = await sync(bob, since, filter=_lazy())
    await send(erin, room_id)
    second = await sync(bob, first["next_batch"], filter=_lazy())

    assert members(room_of(first, room_id)["timeline"]["events"]) == ["@erin:test"]
    assert _state_members(first, room_id) == _state_members(second, room_id) == set()


async def test_with_state_after_who_joins_is_in_the_state(server: Server) -> None:
    """Clients take no state from the timeline then."""
    room_id = await _big_room(server)
    bob, erin = server.client(BOB), server.client("@erin:test")
    since = await token(bob, filter=_lazy(), use_state_after=True)
    await join(erin, room_id)
    await send(erin, room_id)

    answer = await sync(bob, since, filter=_lazy(), use_state_after=True)

    assert members(room_of(answer, room_id)["state_after"]["events"]) == ["@erin:test"]


async def test_a_new_profile_of_a_known_member_is_sent(server: Server) -> None:
    room_id = await _big_room(server)
    carol, bob = server.client(CAROL), server.client(BOB)
    await send(carol, room_id)
    since = await token(bob, filter=_lazy())
    path = f"/v3/rooms/{room_id}/state/m.room.member/{CAROL}"
    await carol.put(path, {"membership": "join", "displayname": "Carol!"})
    messages_only = _lazy()
    messages_only["room"]["timeline"]["types"] = ["m.room.message"]
    await send(carol, room_id)

    entry = room_of(await sync(bob, since, filter=messages_only), room_id)

    [event] = entry["state"]["events"]
    assert event["content"]["displayname"] == "Carol!"


async def test_after_a_restart_members_may_come_again_but_none_is_missing(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    async with running_server(config) as server:
        room_id = await _big_room(server)
        carol, bob = server.client(CAROL), server.client(BOB)
        since = await token(bob, filter=_lazy(1))
        await send(carol, room_id)
    async with running_server(config) as server:
        bob_again = Client(server.http, bob.login.token)
        answer = await sync(bob_again, since, filter=_lazy())

    assert _state_members(answer, room_id) == {CAROL}
