"""CS getRoomSummary, of rooms of this server."""

from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, error_of, member
from tests.http_client import Client, HttpResponse
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"
PUBLIC = {"preset": "public_chat"}


async def summary(client: Client, room: str, *via: str) -> HttpResponse:
    path = f"/v1/room_summary/{quote(room, safe='')}"
    return await client.get(path, query={"via": via})


async def test_a_room_is_summed_up_with_the_users_membership(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, name="Trees", room_alias_name="trees", **PUBLIC)

    own = await summary(alice, room_id)

    assert own.json | {"room_version": "-"} == {
        "room_id": room_id,
        "name": "Trees",
        "canonical_alias": "#trees:test",
        "join_rule": "public",
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
        "room_version": "-",
        "membership": "join",
    }
    by_alias = await summary(bob, "#trees:test")
    assert by_alias.json == own.json | {"membership": "leave"}
    assert (await summary(server.anonymous, room_id)).json == {
        key: value for key, value in own.json.items() if key != "membership"
    }


@pytest.mark.parametrize("form", ["summary/{}", "rooms/{}/summary"])
async def test_clients_of_the_unstable_form_are_answered_as_well(
    server: Server, form: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Trees", **PUBLIC)
    path = form.format(quote(room_id, safe=""))

    answer = await alice.get(f"/_matrix/client/unstable/im.nheko.summary/{path}")

    stable = (await summary(alice, room_id)).json
    version = {"im.nheko.summary.room_version": stable["room_version"]}
    assert answer.json == stable | version


async def test_a_private_room_is_for_its_members_and_whom_they_invite(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, name="Secret")

    for client in (bob, server.anonymous):
        assert error_of(await summary(client, room_id)) == (404, "M_NOT_FOUND")
    assert (await member(alice, room_id, "invite", BOB)).status == 200
    assert (await summary(bob, room_id)).json["membership"] == "invite"
    assert (await summary(server.anonymous, room_id)).status == 404
    assert (await member(alice, room_id, "ban", BOB)).status == 200
    assert error_of(await summary(bob, room_id)) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("room", "error"),
    [
        ("!no:test", (404, "M_NOT_FOUND")),
        ("#no:test", (404, "M_NOT_FOUND")),
        ("trees", (400, "M_INVALID_PARAM")),
        ("#trees", (400, "M_INVALID_PARAM")),
    ],
)
async def test_what_is_no_room_is_not_found(
    server: Server, room: str, error: tuple[int, str]
) -> None:
    for client in (server.client(ALICE), server.anonymous):
        assert error_of(await summary(client, room)) == error


async def test_a_malformed_via_is_refused(server: Server) -> None:
    refused = await summary(server.client(ALICE), "!no:test", "no name")

    assert error_of(refused) == (400, "M_INVALID_PARAM")
