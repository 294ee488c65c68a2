"""Tokens of `/sync`: whatever ``since`` holds, it shows what is missing or nothing."""

from pathlib import Path

import pytest

from tests.backends import table_of_refusals
from tests.features.rooms import create_room, error_of, join, send, set_state
from tests.features.sync.syncing import (
    bodies,
    joined_rooms,
    keys,
    room_of,
    sync,
    timeline_ids,
    token,
)
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.config import PostgresUrl, SqliteFile

ALICE = "@alice:test"
BOB = "@bob:test"


@table_of_refusals
@pytest.mark.parametrize(
    "since",
    [
        "garbage",
        "s",
        "s-1",
        "s01",
        "s1.5",
        "s1e3",
        "S1",
        "t1",
        "s\u0661",
        "s1~",
        "s1~0.1",
        "s5~1.3",
        "s" + "9" * 400,
        "s9007199254740993",
        "s1\x00",
        "s1 ",
        " s1",
        "' OR 1=1 --",
        "null",
    ],
)
async def test_garbage_is_refused(server: Server, since: str) -> None:
    response = await server.client(ALICE).get("/v3/sync", query={"since": since})

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_a_token_from_the_future_is_refused(server: Server) -> None:
    """Such a client would else wait for news that it then does not get."""
    alice = server.client(ALICE)
    now = int((await token(alice))[1:])

    response = await alice.get("/v3/sync", query={"since": f"s{now + 1_000}"})

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_an_empty_token_is_none(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    assert joined_rooms(await sync(alice, "")) == {room_id}


async def test_a_token_of_another_user_shows_nothing_foreign(server: Server) -> None:
    """A position is all that it holds."""
    alice, bob = server.client(ALICE), server.client(BOB)
    shared = await create_room(alice, preset="public_chat")
    await join(bob, shared)
    of_bob = await token(bob)
    private = await create_room(alice)
    of_alice = await token(alice)
    await alice.put(f"/v3/user/{ALICE}/account_data/org.secret", {})
    await send(alice, private, "private")
    await send(alice, shared, "shared")

    for since in (of_alice, of_bob):
        answer = await sync(bob, since)
        assert joined_rooms(answer) == {shared}
        assert bodies(room_of(answer, shared)) == ["shared"]
        assert "account_data" not in answer


async def test_the_first_position_of_all_shows_everything(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Trees")

    for since in ("s0", "s1"):
        entry = room_of(await sync(alice, since), room_id)
        events = entry["state"]["events"] + entry["timeline"]["events"]
        assert {("m.room.create", ""), ("m.room.name", "")} <= keys(events)


async def test_an_old_token_gives_exactly_what_was_missed_after_a_restart(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    async with running_server(config) as server:
        alice, bob = server.client(ALICE), server.client(BOB)
        rooms = [await create_room(alice, preset="public_chat") for _ in range(3)]
        for room_id in rooms[:2]:
            await join(bob, room_id)
        since = await token(bob)
        before = await send(alice, rooms[0], "before")
        topic = await set_state(alice, rooms[0], "m.room.topic", {"topic": "t"})
        await bob.put(f"/v3/user/{BOB}/account_data/org.test", {"a": 1})
        path = f"/v3/rooms/{rooms[0]}/receipt/m.read/{before}"
        await alice.post(path, {})
        await join(bob, rooms[2])
    async with running_server(config) as server:
        bob_again = Client(server.http, bob.login.token)
        alice_again = Client(server.http, alice.login.token)
        after = await send(alice_again, rooms[0], "after")
        answer = await sync(bob_again, since)
        current = await sync(bob_again, answer["next_batch"])

    assert joined_rooms(answer) == {rooms[0], rooms[2]}
    entry = room_of(answer, rooms[0])
    assert timeline_ids(entry) == [before, topic.json["event_id"], after]
    assert entry["timeline"]["limited"] is False
    [receipt] = entry["ephemeral"]["events"]
    assert list(receipt["content"]) == [before]
    [datum] = answer["account_data"]["events"]
    assert datum == {"type": "org.test", "content": {"a": 1}}
    assert current["rooms"] == {}


async def test_a_token_given_before_a_restart_waits_for_news_after_it(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    async with running_server(config) as server:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        since = await token(alice)
    async with running_server(config) as server:
        again = Client(server.http, alice.login.token)
        quiet = await sync(again, since, timeout=5)
        event_id = await send(again, room_id)
        news = await sync(again, since)

    assert quiet["rooms"] == {}
    assert timeline_ids(room_of(news, room_id)) == [event_id]
