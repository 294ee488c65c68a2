"""Room aliases, over HTTP (CS "Room aliases")."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, join, set_state, state
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.features.directory import storage
from tremula.features.directory.storage import StoredAlias
from tremula.infra.db import Reader
from tremula.protocol.identifiers import RoomAlias

ALICE, BOB = "@alice:test", "@bob:test"
TREES = "#trees:test"


def path_of(alias: str) -> str:
    return f"/v3/directory/room/{quote(alias)}"


async def add(client: Client, room_id: str, alias: str = TREES) -> HttpResponse:
    return await client.put(path_of(alias), {"room_id": room_id})


async def test_an_alias_is_added_resolved_and_removed(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    assert (await add(alice, room_id)).json == {}
    resolved = await server.anonymous.get(path_of(TREES))
    assert resolved.json == {"room_id": room_id, "servers": ["test"]}
    assert (await alice.delete(path_of(TREES))).json == {}
    gone = await alice.get(path_of(TREES))
    assert error_of(gone) == (404, "M_NOT_FOUND")
    assert error_of(await alice.delete(path_of(TREES))) == (404, "M_NOT_FOUND")


async def test_an_alias_that_is_taken_is_refused(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, room_alias_name="trees")

    assert error_of(await add(alice, room_id)) == (409, "M_UNKNOWN")


async def test_only_a_member_adds_an_alias(server: Server) -> None:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    bob = server.client(BOB)

    assert error_of(await add(bob, room_id)) == (403, "M_FORBIDDEN")
    assert error_of(await add(bob, "!nowhere:test")) == (404, "M_NOT_FOUND")
    await join(bob, room_id)
    assert (await add(bob, room_id)).status == 200


@pytest.mark.parametrize("alias", ["trees", "#trees", "#trees:elsewhere.org", "!a:b"])
async def test_an_alias_of_no_or_another_server_is_refused(
    server: Server, alias: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    assert error_of(await add(alice, room_id, alias)) == (400, "M_INVALID_PARAM")


async def test_an_alias_is_removed_by_its_maker_or_by_power(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await add(alice, room_id, "#alices:test")
    await add(bob, room_id, "#first:test")
    await add(bob, room_id, "#second:test")

    refused = await bob.delete(path_of("#alices:test"))
    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert (await bob.delete(path_of("#first:test"))).status == 200
    assert (await alice.delete(path_of("#second:test"))).status == 200


async def test_an_alias_that_is_made_anew_meanwhile_is_somebody_elses(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking whose it is and removing it."""
    alice, bob = server.client(ALICE), server.client(BOB)
    alices, bobs = await create_room(alice), await create_room(bob)
    await add(alice, alices)
    find = storage.find_alias

    async def find_and_be_late(db: Reader, alias: RoomAlias) -> StoredAlias | None:
        found = await find(db, alias)
        monkeypatch.setattr(storage, "find_alias", find)
        assert (await alice.delete(path_of(TREES))).status == 200
        assert (await add(bob, bobs)).status == 200
        return found

    monkeypatch.setattr(storage, "find_alias", find_and_be_late)
    refused = await alice.delete(path_of(TREES))

    assert error_of(refused) == (403, "M_FORBIDDEN")
    resolved = await server.anonymous.get(path_of(TREES))
    assert resolved.json["room_id"] == bobs


async def test_a_removed_alias_leaves_the_canonical_ones(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, room_alias_name="trees")
    await add(alice, room_id, "#alt:test")
    content = {"alias": TREES, "alt_aliases": ["#alt:test"]}
    await set_state(alice, room_id, "m.room.canonical_alias", content)

    await alice.delete(path_of("#alt:test"))
    assert await state(alice, room_id, "m.room.canonical_alias") == {
        "alias": TREES,
        "alt_aliases": [],
    }
    await alice.delete(path_of(TREES))
    assert await state(alice, room_id, "m.room.canonical_alias") == {"alt_aliases": []}


async def test_an_alias_goes_even_where_its_maker_may_not_change_the_state(
    server: Server,
) -> None:
    """CS deleteRoomAlias: delete it and answer successfully all the same."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await add(bob, room_id)
    await set_state(alice, room_id, "m.room.canonical_alias", {"alias": TREES})

    assert (await bob.delete(path_of(TREES))).status == 200
    assert error_of(await bob.get(path_of(TREES))) == (404, "M_NOT_FOUND")
    content = await state(alice, room_id, "m.room.canonical_alias")
    assert content == {"alias": TREES}


async def test_the_aliases_of_a_room_are_for_its_members(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, room_alias_name="trees")
    path = f"/v3/rooms/{room_id}/aliases"

    assert (await alice.get(path)).json == {"aliases": [TREES]}
    assert error_of(await bob.get(path)) == (403, "M_FORBIDDEN")
    unknown = await bob.get("/v3/rooms/!nowhere:test/aliases")
    assert error_of(unknown) == (403, "M_FORBIDDEN")

    key = "m.room.history_visibility"
    await set_state(alice, room_id, key, {"history_visibility": "world_readable"})
    assert (await bob.get(path)).json == {"aliases": [TREES]}
