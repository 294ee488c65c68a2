"""Aliases and published rooms between servers."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, set_state
from tests.federation.network import Federation
from tests.federation.remote import Refusal, Remote, add_remote
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.infra.config import Federation as FederationConfig
from tremula.protocol.identifiers import ServerName

ALICE = "@alice:a.test"
TREES = "#trees:a.test"
FAR = "#trees:far.test"
ROOM = "!room:far.test"
ENTRY: dict[str, Any] = {
    "room_id": ROOM,
    "num_joined_members": 3,
    "world_readable": False,
    "guest_can_join": False,
}


@pytest.fixture
async def server(federation: Federation) -> Server:
    return await federation.start("a.test")


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, "far.test")


async def resolve(server: Server, alias: str) -> HttpResponse:
    return await server.anonymous.get(f"/v3/directory/room/{quote(alias)}")


# Aliases


async def test_another_server_learns_where_an_alias_leads(
    server: Server, remote: Remote
) -> None:
    room_id = await create_room(server.client(ALICE), room_alias_name="trees")

    answer = await remote.ask(server, "/v1/query/directory", {"room_alias": TREES})

    assert answer.json == {"room_id": room_id, "servers": ["a.test"]}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"room_alias": "#none:a.test"}, (404, "M_NOT_FOUND")),
        ({"room_alias": FAR}, (404, "M_NOT_FOUND")),
        ({"room_alias": "trees"}, (400, "M_INVALID_PARAM")),
        ({}, (400, "M_MISSING_PARAM")),
    ],
)
async def test_an_alias_that_is_not_ours_is_not_resolved_for_others(
    federation: Federation,
    server: Server,
    remote: Remote,
    query: dict[str, str],
    error: tuple[int, str],
) -> None:
    assert error_of(await remote.ask(server, "/v1/query/directory", query)) == error
    assert federation.network.asked(remote.name, "query/directory") == []


async def test_our_users_resolve_aliases_of_other_servers(
    server: Server, remote: Remote
) -> None:
    remote.answers["query/directory"] = {
        "room_id": ROOM,
        "servers": ["far.test", "bad name", 7, "b.test:8448", "far.test"],
    }

    answer = await resolve(server, FAR)

    assert answer.json == {"room_id": ROOM, "servers": ["far.test", "b.test:8448"]}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (Refusal(404, "M_NOT_FOUND"), (404, "M_NOT_FOUND")),
        (Refusal(403, "M_FORBIDDEN"), (403, "M_FORBIDDEN")),
        (Refusal(500, "M_UNKNOWN"), (502, "M_UNKNOWN")),
        ({"room_id": "room", "servers": []}, (502, "M_UNKNOWN")),
        ([], (502, "M_UNKNOWN")),
    ],
)
async def test_what_goes_wrong_with_a_remote_alias_is_told(
    server: Server, remote: Remote, given: object, error: tuple[int, str]
) -> None:
    remote.answers["query/directory"] = given

    assert error_of(await resolve(server, FAR)) == error


async def test_a_server_that_is_down_is_a_bad_gateway(
    federation: Federation, server: Server, remote: Remote
) -> None:
    federation.network.down.add(remote.name)

    assert error_of(await resolve(server, FAR)) == (502, "M_UNKNOWN")


async def test_a_remote_alias_may_become_canonical(
    server: Server, remote: Remote
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    path = f"/v3/rooms/{room_id}/state/m.room.canonical_alias/"
    remote.answers["query/directory"] = {"room_id": room_id, "servers": ["far.test"]}

    assert (await alice.put(path, {"alt_aliases": [FAR]})).status == 200
    remote.answers["query/directory"] = {"room_id": ROOM, "servers": ["far.test"]}
    elsewhere = await alice.put(path, {"alt_aliases": [FAR, "#b:far.test"]})
    assert error_of(elsewhere) == (400, "M_BAD_ALIAS")
    remote.answers.clear()
    nowhere = await alice.put(path, {"alt_aliases": [FAR, "#c:far.test"]})
    assert error_of(nowhere) == (400, "M_BAD_ALIAS")


# Published rooms


async def test_other_servers_see_the_published_rooms_with_limit_and_filter(
    server: Server, remote: Remote
) -> None:
    alice = server.client(ALICE)
    for name in ("Oak", "Elm", "Ash"):
        await create_room(alice, visibility="public", name=name)

    first = await remote.ask(server, "/v1/publicRooms", {"limit": "2"})
    rest = await remote.ask(
        server, "/v1/publicRooms", {"since": first.json["next_batch"], "limit": "0"}
    )
    names = {r["name"] for page in (first, rest) for r in page.json["chunk"]}
    assert (len(first.json["chunk"]), names) == (2, {"Oak", "Elm", "Ash"})

    found = await remote.ask(
        server,
        "/v1/publicRooms",
        method="POST",
        content={"filter": {"generic_search_term": "oa"}},
    )
    assert [room["name"] for room in found.json["chunk"]] == ["Oak"]


async def test_rooms_that_do_not_federate_are_shown_to_our_users_only(
    server: Server, remote: Remote
) -> None:
    alice = server.client(ALICE)
    await create_room(
        alice,
        visibility="public",
        room_alias_name="trees",
        creation_content={"m.federate": False},
    )

    assert len((await alice.get("/v3/publicRooms")).json["chunk"]) == 1
    assert (await remote.ask(server, "/v1/publicRooms")).json == {
        "chunk": [],
        "total_room_count_estimate": 0,
    }
    alias = await remote.ask(server, "/v1/query/directory", {"room_alias": TREES})
    assert error_of(alias) == (404, "M_NOT_FOUND")


async def test_our_users_see_the_rooms_of_another_server(
    federation: Federation, server: Server
) -> None:
    other = await federation.start("b.test")
    bob = other.client("@bob:b.test")
    rooms = {
        name: await create_room(bob, visibility="public", name=name) for name in "xy"
    }
    await set_state(bob, rooms["x"], "m.room.topic", {"topic": "Aspens"})
    alice = server.client(ALICE)

    got = await alice.get("/v3/publicRooms?server=b.test&limit=1")
    more = await alice.get(
        "/v3/publicRooms", query={"server": "b.test", "since": got.json["next_batch"]}
    )
    found = await alice.post(
        "/v3/publicRooms?server=b.test", {"filter": {"generic_search_term": "aspen"}}
    )

    pages = [*got.json["chunk"], *more.json["chunk"]]
    assert {room["room_id"] for room in pages} == set(rooms.values())
    assert [room["room_id"] for room in found.json["chunk"]] == [rooms["x"]]


async def test_a_remote_page_is_cut_and_cleaned(server: Server, remote: Remote) -> None:
    bad = [
        7,
        {**ENTRY, "room_id": "room"},
        {**ENTRY, "num_joined_members": True},
        {key: ENTRY[key] for key in ENTRY if key != "world_readable"},
    ]
    good = {**ENTRY, "name": "Oak", "topic": 7, "evil": {}}
    remote.answers["publicRooms"] = {
        "chunk": [*bad, good, ENTRY],
        "next_batch": 7,
        "total_room_count_estimate": 9,
    }

    page = await server.anonymous.get("/v3/publicRooms?server=far.test&limit=5")

    assert page.json == {
        "chunk": [{**ENTRY, "name": "Oak"}],
        "total_room_count_estimate": 9,
    }


@pytest.mark.parametrize(
    "settings",
    [
        FederationConfig(enabled=False),
        FederationConfig(denied_servers=(ServerName("far.test"),)),
        FederationConfig(allowed_servers=(ServerName("b.test"),)),
    ],
)
async def test_servers_that_are_not_spoken_with_are_neither_asked_nor_answered(
    federation: Federation, settings: FederationConfig
) -> None:
    remote = add_remote(federation, "far.test")
    server = await federation.start("a.test", federation=settings)
    await create_room(server.client(ALICE), room_alias_name="trees")

    rooms = await server.anonymous.get("/v3/publicRooms?server=far.test")
    assert error_of(rooms) == (403, "M_FORBIDDEN")
    assert error_of(await resolve(server, FAR)) == (403, "M_FORBIDDEN")
    for path in ("/v1/query/directory?room_alias=%23trees:a.test", "/v1/publicRooms"):
        assert error_of(await remote.ask(server, path)) == (403, "M_FORBIDDEN")
    assert federation.network.letters == []
