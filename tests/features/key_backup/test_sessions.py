"""CS "Server-side key backups": keys of sessions, over HTTP."""

import asyncio
from itertools import permutations, product
from typing import Any

import pytest

from tests.features.key_backup.backups import (
    ALICE,
    OTHER_ROOM,
    ROOM,
    keys,
    new_backup,
    put_keys,
    rooms,
    session,
)
from tests.http_client import Client
from tests.query_counter import counted
from tests.server import Server
from tremula.protocol.key_backup import SESSION_DATA_BYTES_MAX

KEYS = "/v3/room_keys/keys"


@pytest.fixture
async def alice(server: Server) -> Client:
    return server.client(ALICE)


async def test_keys_come_back_in_every_scope(alice: Client) -> None:
    version = await new_backup(alice)
    query = {"version": version}
    one, two, three = session(1), session(2), session(3, is_verified=True)

    stored = [
        await put_keys(alice, version, rooms(one=one)),
        await alice.put(f"{KEYS}/{ROOM}", {"sessions": {"two": two}}, query=query),
        await alice.put(f"{KEYS}/{OTHER_ROOM}/three%2F+", three, query=query),
    ]

    assert [each.json["count"] for each in stored] == [1, 2, 3]
    assert len({each.json["etag"] for each in stored}) == 3
    of_room = {"sessions": {"one": one, "two": two}}
    of_other = {"sessions": {"three/+": three}}
    assert await keys(alice, version) == {ROOM: of_room, OTHER_ROOM: of_other}
    assert (await alice.get(f"{KEYS}/{ROOM}", query=query)).json == of_room
    path = f"{KEYS}/{OTHER_ROOM}/three%2F+"
    assert (await alice.get(path, query=query)).json == three
    newest = (await alice.get("/v3/room_keys/version")).json
    assert (newest["count"], newest["etag"]) == (3, stored[-1].json["etag"])


async def test_what_is_not_there_is_empty_or_not_found(alice: Client) -> None:
    query = {"version": await new_backup(alice)}

    assert (await alice.get(KEYS, query=query)).json == {"rooms": {}}
    assert (await alice.get(f"{KEYS}/{ROOM}", query=query)).json == {"sessions": {}}
    missing = await alice.get(f"{KEYS}/{ROOM}/none", query=query)
    assert (missing.status, missing.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_keys_are_deleted_in_every_scope(alice: Client) -> None:
    version = await new_backup(alice)
    query = {"version": version}
    sessions = {name: session() for name in ("one", "two", "three")}
    both = {ROOM: {"sessions": sessions}, OTHER_ROOM: {"sessions": sessions}}
    await put_keys(alice, version, {"rooms": both})

    one = await alice.delete(f"{KEYS}/{ROOM}/one", query=query)
    same = await alice.delete(f"{KEYS}/{ROOM}/one", query=query)
    assert list((await keys(alice, version))[ROOM]["sessions"]) == ["three", "two"]
    room = await alice.delete(f"{KEYS}/{ROOM}", query=query)
    assert list(await keys(alice, version)) == [OTHER_ROOM]
    rest = await alice.delete(KEYS, query=query)
    assert await keys(alice, version) == {}

    assert [each.json["count"] for each in (one, same, room, rest)] == [5, 5, 3, 0]
    assert same.json["etag"] == one.json["etag"]
    assert len({each.json["etag"] for each in (one, room, rest)}) == 3


# From the best to the worst.
RANKED = [
    (verified, index, count)
    for verified, index, count in product((True, False), (0, 5), (0, 2))
]


async def test_the_better_key_of_a_session_is_kept(alice: Client) -> None:
    """Each ranking against each other one, whichever comes first."""
    version = await new_backup(alice)
    ranked = [
        session(index, count, is_verified=verified) for verified, index, count in RANKED
    ]
    pairs = {
        f"{first}-{second}": (first, second)
        for first, second in permutations(range(len(ranked)), 2)
    }

    for turn in (0, 1):
        uploaded = {name: ranked[pair[turn]] for name, pair in pairs.items()}
        answer = await put_keys(alice, version, rooms(**uploaded))
        assert answer.json["count"] == len(pairs)

    assert (await keys(alice, version))[ROOM]["sessions"] == {
        name: ranked[min(pair)] for name, pair in pairs.items()
    }


@pytest.mark.parametrize("second", [session(4), session(5), session(4, 2)])
async def test_a_key_that_is_no_better_changes_nothing(
    alice: Client, second: dict[str, Any]
) -> None:
    version = await new_backup(alice)
    first = session(4, ciphertext="first")

    before = await put_keys(alice, version, rooms(s=first))
    after = await put_keys(alice, version, rooms(s=second))

    assert after.json == before.json
    assert (await keys(alice, version))[ROOM]["sessions"]["s"] == first


async def test_only_the_newest_version_takes_keys(alice: Client) -> None:
    old, new = await new_backup(alice), await new_backup(alice)
    query = {"version": old}
    body = rooms(s=session())

    answers = [
        await alice.put(KEYS, body, query=query),
        await alice.put(f"{KEYS}/{ROOM}", body["rooms"][ROOM], query=query),
        await alice.put(f"{KEYS}/{ROOM}/s", session(), query=query),
    ]

    for each in answers:
        assert (each.status, each.json["errcode"]) == (403, "M_WRONG_ROOM_KEYS_VERSION")
        assert each.json["current_version"] == new
    assert await keys(alice, old) == {}


async def test_a_deleted_version_takes_no_keys(alice: Client) -> None:
    """Its client learns which one there is now; without any it is not found."""
    first, second = await new_backup(alice), await new_backup(alice)
    await alice.delete(f"/v3/room_keys/version/{second}")

    wrong = await put_keys(alice, second, rooms(s=session()))
    await alice.delete(f"/v3/room_keys/version/{first}")
    missing = await put_keys(alice, first, rooms(s=session()))

    assert (wrong.status, wrong.json["current_version"]) == (403, first)
    assert (missing.status, missing.json["errcode"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/{ROOM}", f"{KEYS}/{ROOM}/s"])
async def test_the_version_must_be_named(alice: Client, method: str, path: str) -> None:
    body = {"rooms": {}, "sessions": {}, **session()}
    await new_backup(alice)

    refused = await alice.request(method, path, json=body)

    assert (refused.status, refused.json["errcode"]) == (400, "M_MISSING_PARAM")


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"first_message_index": -1}, "M_BAD_JSON"),
        ({"first_message_index": 2**53}, "M_BAD_JSON"),
        ({"first_message_index": 1.5}, "M_BAD_JSON"),
        ({"forwarded_count": True}, "M_BAD_JSON"),
        ({"is_verified": 1}, "M_BAD_JSON"),
        ({"session_data": "opaque"}, "M_BAD_JSON"),
        ({"session_data": {"x": "x" * SESSION_DATA_BYTES_MAX}}, "M_TOO_LARGE"),
    ],
)
async def test_one_malformed_key_stores_none(
    alice: Client, change: dict[str, Any], errcode: str
) -> None:
    version = await new_backup(alice)

    refused = await put_keys(
        alice, version, rooms(good=session(), bad=session() | change)
    )

    assert refused.json["errcode"] == errcode
    assert await keys(alice, version) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"rooms": {"no room": {"sessions": {"s": session()}}}},
        {"rooms": {ROOM: {"sessions": {"": session()}}}},
        {"rooms": {ROOM: {"sessions": {"s" * 256: session()}}}},
    ],
)
async def test_impossible_ids_are_refused(alice: Client, body: object) -> None:
    version = await new_backup(alice)

    refused = await put_keys(alice, version, body)

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_who_uploads_at_once_leaves_the_best_keys(alice: Client) -> None:
    version = await new_backup(alice)
    uploads = [
        {f"s{number}": session(20 - number + turn, ciphertext=f"{turn}")}
        for turn in range(10)
        for number in range(10)
    ]

    answers = await asyncio.gather(
        *(put_keys(alice, version, rooms(**each)) for each in uploads)
    )

    stored = (await keys(alice, version))[ROOM]["sessions"]
    assert {key: each["first_message_index"] for key, each in stored.items()} == {
        f"s{number}": 20 - number for number in range(10)
    }
    assert max(each.json["count"] for each in answers) == 10
    assert (await alice.get("/v3/room_keys/version")).json["count"] == 10


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_ten_thousand_sessions_cost_few_queries(
    server: Server, alice: Client
) -> None:
    """They go in units of 500, so that others can write in between."""
    version = await new_backup(alice)
    body = {
        "rooms": {
            f"!room{room}:test": {
                "sessions": {f"s{number}": session() for number in range(100)}
            }
            for room in range(100)
        }
    }

    with counted(server.db) as uploading:
        stored = await put_keys(alice, version, body)
    with counted(server.db) as downloading:
        downloaded = await keys(alice, version)

    assert stored.json["count"] == 10_000
    assert downloaded == body["rooms"]
    assert len(uploading.reads) <= 4
    assert [len(unit.statements) for unit in uploading.units] == [3] * 20
    # Of PostgreSQL, those that scan are counted twice.
    assert len(downloading.reads) <= 14
