"""CS createRoom, over HTTP, on every database the suite runs on."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.backends import table_of_refusals
from tests.features.rooms import create_room, error_of, state
from tests.server import Server
from tremula.protocol.room_versions import ROOM_VERSIONS

ALICE, BOB = "@alice:test", "@bob:test"


async def test_a_room_of_the_default_version_has_its_state(server: Server) -> None:
    alice = server.client(ALICE)

    room_id = await create_room(alice, name="Name", topic="Topic")

    assert room_id.startswith("!")
    assert ":" not in room_id
    assert (await state(alice, room_id, "m.room.create"))["room_version"] == "12"
    assert await state(alice, room_id, "m.room.name") == {"name": "Name"}
    assert (await state(alice, room_id, "m.room.topic"))["topic"] == "Topic"
    member = await state(alice, room_id, "m.room.member", ALICE)
    assert member["membership"] == "join"


@pytest.mark.parametrize("version", list(ROOM_VERSIONS))
async def test_a_room_of_every_version_can_be_made(
    server: Server, version: str
) -> None:
    alice = server.client(ALICE)

    room_id = await create_room(alice, room_version=version, invite=[BOB])

    assert (await state(alice, room_id, "m.room.create"))["room_version"] == version
    assert (await state(alice, room_id, "m.room.member", BOB))["membership"] == "invite"


async def test_an_alias_is_made_with_the_room_and_taken_then(server: Server) -> None:
    alice = server.client(ALICE)

    room_id = await create_room(alice, room_alias_name="trees")

    resolved = await alice.get(f"/v3/directory/room/{quote('#trees:test')}")
    assert resolved.json == {"room_id": room_id, "servers": ["test"]}
    assert await state(alice, room_id, "m.room.canonical_alias") == {
        "alias": "#trees:test"
    }
    again = await alice.post("/v3/createRoom", {"room_alias_name": "trees"})
    assert error_of(again) == (400, "M_ROOM_IN_USE")


async def test_a_public_room_is_published(server: Server) -> None:
    alice = server.client(ALICE)

    await create_room(alice, visibility="public", name="Seen")
    await create_room(alice, visibility="private", name="Unseen")

    listed = (await alice.get("/v3/publicRooms")).json["chunk"]
    assert [room["name"] for room in listed] == ["Seen"]
    assert listed[0]["join_rule"] == "public"


@table_of_refusals
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"room_version": "1000"}, (400, "M_UNSUPPORTED_ROOM_VERSION")),
        ({"room_alias_name": "a:b"}, (400, "M_INVALID_PARAM")),
        ({"room_alias_name": ""}, (400, "M_INVALID_PARAM")),
        ({"invite": ["bob"]}, (400, "M_INVALID_PARAM")),
        ({"invite": ["@bob:test"] * 1000}, (400, "M_INVALID_PARAM")),
        ({"invite": [ALICE]}, (400, "M_INVALID_ROOM_STATE")),
        ({"invite": "@bob:test"}, (400, "M_BAD_JSON")),
        ({"preset": "cosy"}, (400, "M_BAD_JSON")),
        ({"name": 7}, (400, "M_BAD_JSON")),
        ({"creation_content": {"m.federate": "no"}}, (400, "M_BAD_JSON")),
        ({"creation_content": {"type": []}}, (400, "M_BAD_JSON")),
        ({"creation_content": {"predecessor": "x"}}, (400, "M_BAD_JSON")),
        (
            {"creation_content": {"additional_creators": ["bob"]}},
            (400, "M_INVALID_PARAM"),
        ),
        (
            {"power_level_content_override": {"users": {ALICE: 100}}},
            (400, "M_INVALID_ROOM_STATE"),
        ),
        (
            {"power_level_content_override": {"users_default": "100"}},
            (400, "M_INVALID_ROOM_STATE"),
        ),
        ({"initial_state": [{"content": {}}]}, (400, "M_MISSING_PARAM")),
        (
            {"initial_state": [{"type": "m.room.create", "content": {}}]},
            (400, "M_INVALID_ROOM_STATE"),
        ),
        (
            {"initial_state": [{"type": "a", "content": {"half": 0.5}}]},
            (400, "M_BAD_JSON"),
        ),
        (
            {
                "invite_3pid": [
                    {
                        "id_server": "id.test",
                        "id_access_token": "x",
                        "medium": "email",
                        "address": "bob@example.org",
                    }
                ]
            },
            (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ),
    ],
)
async def test_a_bad_request_is_refused_and_leaves_nothing(
    server: Server, body: dict[str, Any], error: tuple[int, str]
) -> None:
    alice = server.client(ALICE)

    response = await alice.post("/v3/createRoom", body)

    assert error_of(response) == error
    assert (await alice.get("/v3/joined_rooms")).json == {"joined_rooms": []}


async def test_a_creator_without_power_cannot_name_the_room(server: Server) -> None:
    """The example of CS createRoom for M_INVALID_ROOM_STATE."""
    response = await server.client(ALICE).post(
        "/v3/createRoom",
        {
            "room_version": "11",
            "name": "Name",
            "power_level_content_override": {"users": {ALICE: 0}},
        },
    )

    assert error_of(response) == (400, "M_INVALID_ROOM_STATE")


async def test_a_user_who_blocks_invitations_is_not_invited(server: Server) -> None:
    bob = server.client(BOB)
    path = f"/v3/user/{quote(BOB)}/account_data/m.invite_permission_config"
    await bob.put(path, {"default_action": "block"})

    response = await server.client(ALICE).post("/v3/createRoom", {"invite": [BOB]})

    assert error_of(response) == (403, "M_INVITE_BLOCKED")
