"""CS searchUserDirectory: who is found by whom."""

import asyncio
from typing import Final

import orjson
import pytest

from tests.features.rooms import create_room, error_of, join, member, set_state
from tests.features.sync.syncing import sync, token
from tests.features.user_directory.people import found, results, search
from tests.http_client import Client
from tests.server import Server
from tremula.features.user_directory import service

PATIENCE_S: Final = 30
ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


async def rename(client: Client, user_id: str, name: str) -> None:
    """Have another name, and wait until the rooms have seen it."""
    since = await token(client)
    response = await client.put(
        f"/v3/profile/{user_id}/displayname", {"displayname": name}
    )
    assert response.status == 200, response.body
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await sync(client, since, timeout=1000 * PATIENCE_S)
            if orjson.dumps({"displayname": name})[1:-1] in orjson.dumps(answer):
                return
            since = answer["next_batch"]


async def share_a_room(one: Client, *others: Client) -> str:
    room_id = await create_room(one, preset="private_chat", invite=[CAROL])
    await set_state(one, room_id, "m.room.join_rules", {"join_rule": "public"})
    for other in others:
        await join(other, room_id)
    await set_state(one, room_id, "m.room.join_rules", {"join_rule": "invite"})
    return room_id


async def test_who_shares_a_room_is_found(alice: Client, bob: Client) -> None:
    assert await found(alice, "bob") == []

    room_id = await share_a_room(alice, bob)
    assert await results(alice, "BOB") == [{"user_id": BOB, "display_name": "bob"}]
    assert await found(bob, "ali") == [ALICE]

    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    assert await found(alice, "bob") == []


@pytest.mark.parametrize(
    ("event_type", "content"),
    [
        ("m.room.join_rules", {"join_rule": "public"}),
        ("m.room.history_visibility", {"history_visibility": "world_readable"}),
    ],
)
async def test_who_is_in_an_open_room_is_found_by_all(
    alice: Client, bob: Client, event_type: str, content: dict[str, str]
) -> None:
    room_id = await create_room(bob, preset="private_chat")
    assert await found(alice, "bob") == []

    await set_state(bob, room_id, event_type, content)

    assert await found(alice, "bob") == [BOB]


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("Robert Müller", "mull"),
        ("Robert Müller", "MÜLLER rob"),
        ("Robert Müller", "@bob:test"),
        ("Robert Müller", "bob:te"),
        ("王小明", "小明"),
        ("王小明", "明"),
        ("さくら", "さく"),
        ("김철수", "철수"),
        ("สมชาย", "ชาย"),
        ("O'Brien 🐻", "🐻"),
        ("100% \"Bob\" 'n' \\co", "co 100%"),
    ],
)
async def test_names_of_any_script_are_found(
    alice: Client, bob: Client, name: str, term: str
) -> None:
    await share_a_room(alice, bob)
    await rename(bob, BOB, name)
    await rename(alice, ALICE, "Somebody Else")

    assert await results(alice, term) == [{"user_id": BOB, "display_name": name}]


@pytest.mark.parametrize("term", ["", "  ", "%", "_", "*", '"', "'; --", "ob", "bobby"])
async def test_what_fits_nobody_finds_nobody(
    alice: Client, bob: Client, term: str
) -> None:
    await share_a_room(alice, bob)

    assert await found(alice, term) == []


async def test_a_former_name_finds_nobody(alice: Client, bob: Client) -> None:
    await share_a_room(alice, bob)
    await rename(bob, BOB, "Former")
    assert await found(alice, "former") == [BOB]

    await rename(bob, BOB, "Newer")

    assert await found(alice, "former") == []
    assert await found(alice, "newer") == [BOB]


async def test_avatars_are_shown(alice: Client, bob: Client) -> None:
    await share_a_room(alice, bob)
    url = "mxc://test/bear"
    await bob.put(f"/v3/profile/{BOB}/avatar_url", {"avatar_url": url})

    [shown] = await results(alice, "bob")

    assert shown == {"user_id": BOB, "display_name": "bob", "avatar_url": url}


async def test_ignored_users_are_left_out(alice: Client, bob: Client) -> None:
    await share_a_room(alice, bob)
    await alice.put(
        f"/v3/user/{ALICE}/account_data/m.ignored_user_list",
        {"ignored_users": {BOB: {}}},
    )

    assert await found(alice, "bob") == []


async def test_deactivated_users_are_left_out(alice: Client, bob: Client) -> None:
    await share_a_room(alice, bob)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": BOB},
        "password": "correct horse",
    }
    begun = await bob.post("/v3/account/deactivate", {})
    ended = await bob.post(
        "/v3/account/deactivate", {"auth": {**auth, "session": begun.json["session"]}}
    )
    assert ended.status == 200, ended.body

    assert await found(alice, "bob") == []


async def test_who_is_meant_comes_first_then_who_is_known(
    server: Server, alice: Client, bob: Client
) -> None:
    others = {name: server.client(f"@{name}:test") for name in ("bobo", "boba", "bobb")}
    await share_a_room(alice, others["bobo"], bob)
    public = await create_room(others["boba"], preset="public_chat")
    await join(others["bobb"], public)

    everybody = await found(alice, "bob")

    assert everybody == [BOB, "@bobo:test", "@boba:test", "@bobb:test"]


async def test_more_than_wanted_are_told_of(
    server: Server, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_CANDIDATES_AT_ONCE", 2)
    others = [server.client(f"@friend{number}:test") for number in range(5)]
    await share_a_room(alice, *others)

    some = await search(alice, "friend", limit=3)
    everybody = await search(alice, "friend", limit=5)

    assert (len(some.json["results"]), some.json["limited"]) == (3, True)
    assert (len(everybody.json["results"]), everybody.json["limited"]) == (5, False)


async def test_a_whole_user_id_is_found_however_many_share_its_server(
    server: Server, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_CANDIDATES_AT_ONCE", 2)
    monkeypatch.setattr(service, "_BATCHES_MAX", 1)
    others = [server.client(f"@{name}:test") for name in ("a", "b", "c", "zoe")]
    await share_a_room(alice, *others)

    assert await found(alice, " @Zoe:test ") == ["@zoe:test"]
    assert await found(alice, "@nobody:test") == []
    assert await found(alice, "@quill:not a server") == []


async def test_nobody_finds_themselves(alice: Client, bob: Client) -> None:
    await share_a_room(alice, bob)

    assert await found(alice, "alice") == []


async def test_invited_and_banned_users_are_not_found(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice, invite=[BOB])
    assert await found(alice, "bob") == []

    await join(bob, room_id)
    assert await found(alice, "bob") == [BOB]

    await member(alice, room_id, "ban", BOB)
    assert await found(alice, "bob") == []
    assert await found(bob, "alice") == []


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"search_term": 1}, "M_BAD_JSON"),
        ({"search_term": "x", "limit": "5"}, "M_BAD_JSON"),
        ({"search_term": "x", "limit": 0}, "M_INVALID_PARAM"),
        ({"search_term": "x", "limit": -1}, "M_INVALID_PARAM"),
        ({"search_term": "x" * 513}, "M_INVALID_PARAM"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    alice: Client, body: dict[str, object], errcode: str
) -> None:
    response = await alice.post("/v3/user_directory/search", body)

    assert error_of(response) == (400, errcode)
