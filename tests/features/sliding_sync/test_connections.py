"""Connections: over restarts, lost answers, and within bounds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends import table_of_refusals
from tests.features.rooms import create_room, error_of, join, member, send
from tests.features.sliding_sync.polling import (
    ALICE,
    BOB,
    LONG_MS,
    PATIENCE_S,
    a_list,
    bodies,
    poll,
    slide,
    waiting,
)
from tests.http_client import Client
from tests.server import Server, UserClient, config_for, running_server
from tremula.features.sliding_sync.connections import CONNECTIONS_MAX
from tremula.infra.config import PostgresUrl, SqliteFile

LISTS = {"all": a_list(required_state=[["m.room.name", ""]])}


async def test_a_connection_survives_a_restart(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    """Rooms are not sent anew, and what was said between is told."""
    config = config_for(database_source, tmp_path)
    async with running_server(config) as server:
        alice = server.client(ALICE)
        rooms = [await create_room(alice, name="Home") for _ in range(3)]
        first = await slide(alice, lists=LISTS)
        away = await slide(alice, first["pos"], lists={"all": a_list(9, 9)})
        await send(alice, rooms[0], "unheard")
        token = alice.login.token
    async with running_server(config) as server:
        alice_again = Client(server.http, token)
        back = await slide(alice_again, away["pos"], lists=LISTS)
        nothing = await slide(alice_again, back["pos"], lists=LISTS)

    assert set(back["rooms"]) == {rooms[0]}
    assert bodies(back["rooms"][rooms[0]]) == ["unheard"]
    assert "initial" not in back["rooms"][rooms[0]]
    assert nothing["rooms"] == {}


async def test_a_position_may_be_asked_from_again(server: Server) -> None:
    """Also with another request, and after rooms that were never received."""
    alice = server.client(ALICE)
    rooms = [await create_room(alice) for _ in range(3)]
    first = await slide(alice, lists={"all": a_list(0, 0)})

    lost = await slide(alice, first["pos"], lists={"all": a_list(0, 1)})
    again = await slide(alice, first["pos"], lists={"all": a_list(0, 2)})
    nothing = await slide(alice, again["pos"], lists={"all": a_list(0, 2)})
    late = await slide(alice, lost["pos"], lists={"all": a_list(0, 2)})

    assert set(lost["rooms"]) == {rooms[1]}
    assert set(again["rooms"]) == {rooms[0], rooms[1]}
    assert nothing["rooms"] == {}
    assert set(late["rooms"]) == {rooms[0]}


async def test_connections_know_nothing_of_each_other(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    one = await slide(alice, lists=LISTS, conn_id="one")
    two = await slide(alice, lists=LISTS, conn_id="two")
    await send(alice, room_id, "news")

    again = await slide(alice, one["pos"], lists=LISTS, conn_id="one")
    crossed = await poll(alice, one["pos"], lists=LISTS, conn_id="three")

    assert set(one["rooms"]) == set(two["rooms"]) == {room_id}
    assert bodies(again["rooms"][room_id]) == ["news"]
    assert error_of(crossed) == (400, "M_UNKNOWN_POS")


async def test_another_user_cannot_use_a_position(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await create_room(alice)
    first = await slide(alice, lists=LISTS)

    assert error_of(await poll(bob, first["pos"], lists=LISTS))[1] == "M_UNKNOWN_POS"


async def test_the_connection_used_least_recently_makes_room(server: Server) -> None:
    alice = server.client(ALICE)
    await create_room(alice)
    answers = [
        await slide(alice, lists=LISTS, conn_id=f"c{number:02}")
        for number in range(CONNECTIONS_MAX + 1)
    ]
    for app in server.apps:
        app.journal.forget(app.journal.position)

    rows = await server.db.all("SELECT DISTINCT conn_id FROM sliding_sync_states")
    newest = await poll(alice, answers[-1]["pos"], lists=LISTS, conn_id="c20")

    assert {conn_id for (conn_id,) in rows} == {
        f"c{number:02}" for number in range(1, CONNECTIONS_MAX + 1)
    }
    assert newest.status == 200


async def test_a_connection_ends_with_its_device(server: Server) -> None:
    alice = server.client(ALICE)
    await create_room(alice)
    await slide(alice, lists=LISTS)

    await alice.post("/v3/logout", {})

    assert not await server.db.all("SELECT 1 FROM sliding_sync_states")


async def test_repeated_requests_leave_few_states(server: Server) -> None:
    alice = server.client(ALICE)
    await create_room(alice)
    for _ in range(9):
        await slide(alice, lists=LISTS)

    [(count,)] = await server.db.all("SELECT COUNT(*) FROM sliding_sync_states")

    assert count <= 3


Deed = Callable[[UserClient, UserClient, str], Awaitable[object]]


async def _message(alice: UserClient, _: UserClient, room_id: str) -> None:
    await send(alice, room_id)


async def _kick(alice: UserClient, _: UserClient, room_id: str) -> None:
    await member(alice, room_id, "kick", BOB)


async def _invitation(alice: UserClient, _: UserClient, __: str) -> None:
    await create_room(alice, invite=[BOB])


async def _typing(alice: UserClient, _: UserClient, room_id: str) -> None:
    await alice.put(f"/v3/rooms/{room_id}/typing/{ALICE}", {"typing": True})


async def _to_device(alice: UserClient, _: UserClient, __: str) -> None:
    body: dict[str, Any] = {"messages": {BOB: {"*": {}}}}
    await alice.put("/v3/sendToDevice/org.note/t1", body)


async def _direct(_: UserClient, bob: UserClient, room_id: str) -> None:
    path = f"/v3/user/{BOB}/account_data/m.direct"
    await bob.put(path, {ALICE: [room_id]})


@pytest.mark.parametrize(
    "deed", [_message, _kick, _invitation, _typing, _to_device, _direct]
)
async def test_whoever_waits_is_woken_by_news(server: Server, deed: Deed) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    names = ("to_device", "account_data", "receipts", "typing")
    body: dict[str, Any] = {
        "lists": LISTS,
        "extensions": {name: {"enabled": True} for name in names},
    }
    first = await slide(bob, **body)

    task = await waiting(server, bob, first["pos"], **body)
    await deed(alice, bob, room_id)
    answer = await task

    sections = answer["extensions"]
    assert answer["rooms"] or sections["to_device"]["events"] or len(sections) > 1


async def test_news_of_rooms_that_nobody_looks_at_wake_nobody(server: Server) -> None:
    """The answer comes when the time is up, with a position to go on from."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id, top = await create_room(bob), await create_room(alice, invite=[BOB])
    await join(bob, top)
    path = f"/v3/user/{BOB}/account_data/m.direct"
    await bob.put(path, {ALICE: [top]})
    direct = {"direct": a_list(is_dm=True)}
    first = await slide(bob, lists={"all": a_list()})
    narrow = await slide(bob, first["pos"], lists=direct)

    task = await waiting(server, bob, narrow["pos"], lists=direct)
    await send(bob, room_id, "elsewhere")
    await send(alice, top, "here")
    answer = await task
    wide = await slide(bob, answer["pos"], lists={"all": a_list()})

    assert set(answer["rooms"]) == {top}
    assert bodies(wide["rooms"][room_id]) == ["elsewhere"]


async def test_a_request_for_more_does_not_wait(server: Server) -> None:
    alice = server.client(ALICE)
    rooms = [await create_room(alice) for _ in range(2)]
    first = await slide(alice, lists={"all": a_list(0, 0)})

    async with asyncio.timeout(PATIENCE_S):
        second = await slide(
            alice, first["pos"], wait_ms=LONG_MS, lists={"all": a_list(0, 1)}
        )

    assert set(second["rooms"]) == {rooms[0]}


async def test_the_transaction_id_comes_back(server: Server) -> None:
    alice = server.client(ALICE)

    answer = await slide(alice, txn_id="t1")

    assert answer["txn_id"] == "t1"
    assert answer["lists"] == answer["rooms"] == answer["extensions"] == {}


@table_of_refusals
@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"lists": 7}, "M_BAD_JSON"),
        ({"lists": {"a": {"ranges": [[0]]}}}, "M_BAD_JSON"),
        ({"lists": {"a": {"ranges": [["0", "1"]]}}}, "M_BAD_JSON"),
        ({"lists": {"a": {"ranges": [[5, 1]]}}}, "M_INVALID_PARAM"),
        ({"lists": {"a": {"ranges": [[-1, 1]]}}}, "M_INVALID_PARAM"),
        ({"lists": {"a": {"ranges": [[0, 1]] * 101}}}, "M_INVALID_PARAM"),
        ({"lists": {str(n): {} for n in range(101)}}, "M_INVALID_PARAM"),
        ({"lists": {"a": {"timeline_limit": -1}}}, "M_INVALID_PARAM"),
        ({"lists": {"a": {"required_state": [["a", ""]] * 501}}}, "M_INVALID_PARAM"),
        ({"lists": {"a": {"filters": {"is_dm": "yes"}}}}, "M_BAD_JSON"),
        ({"lists": {"a": {"filters": {"tags": ["a"] * 501}}}}, "M_INVALID_PARAM"),
        ({"room_subscriptions": {"nonsense": {}}}, "M_INVALID_PARAM"),
        (
            {"room_subscriptions": {f"!{n}:test": {} for n in range(1001)}},
            "M_INVALID_PARAM",
        ),
        ({"extensions": {"to_device": {"limit": 0}}}, "M_INVALID_PARAM"),
        (
            {"extensions": {"typing": {"enabled": True, "rooms": ["a"] * 1001}}},
            "M_INVALID_PARAM",
        ),
        ({"conn_id": "c" * 256}, "M_INVALID_PARAM"),
        ({"conn_id": "\0"}, "M_BAD_JSON"),
        ({"txn_id": "t" * 256}, "M_INVALID_PARAM"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(
    server: Server, body: dict[str, Any], errcode: str
) -> None:
    alice = server.client(ALICE)

    assert error_of(await poll(alice, **body)) == (400, errcode)


async def test_a_huge_window_is_as_good_as_all_rooms(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    lists = {
        "huge": a_list(0, 2**53, timeline_limit=2**53),
        "all": {"timeline_limit": 1},
        "none": {"ranges": [], "timeline_limit": 1},
        "beyond": a_list(10**15, 10**16),
    }

    answer = await slide(alice, lists=lists)

    assert set(answer["rooms"]) == {room_id}
    assert answer["lists"] == {key: {"count": 1} for key in lists}
