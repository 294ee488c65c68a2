"""Room directories of the networks of application services, over HTTP."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.appservices.registrations import registration
from tests.features.rooms import create_room, error_of, set_state
from tests.http_client import Client, HttpResponse
from tests.server import AppserviceClient, Server

ALICE = "@alice:test"


@pytest.fixture
async def bot(server: Server) -> AppserviceClient:
    """The application service, whose sender there is."""
    return await bot_of(server, "irc")


async def bot_of(server: Server, name: str) -> AppserviceClient:
    registered = registration(name)
    await server.add_appservice(registered)
    client = server.appservice_client(registered)
    body = {"type": "m.login.application_service", "username": f"_{name}_bot"}
    assert (await client.post("/v3/register", body)).status == 200
    return client


async def list_room(
    client: Client, room_id: str, visibility: object = "public", network: str = "libera"
) -> HttpResponse:
    """Put the room into the directory of a network, or take it out."""
    path = f"/v3/directory/list/appservice/{quote(network, safe='')}/{quote(room_id)}"
    return await client.put(path, {"visibility": visibility})


async def listed(server: Server, **body: object) -> list[str]:
    """The IDs of the rooms that a search finds."""
    response = await server.client(ALICE).post("/v3/publicRooms", body)
    assert response.status == 200, response.body
    chunk: list[dict[str, Any]] = response.json["chunk"]
    return [each["room_id"] for each in chunk]


async def test_a_network_has_a_directory_of_its_own(
    server: Server, bot: AppserviceClient
) -> None:
    own = await create_room(server.client(ALICE), visibility="public")
    libera, oftc = await create_room(bot), await create_room(bot)
    for room_id, network in ((libera, "libera"), (oftc, "oftc")):
        response = await list_room(bot, room_id, network=network)
        assert (response.status, response.json) == (200, {})

    assert await listed(server) == [own]
    assert await listed(server, third_party_instance_id="irc|libera") == [libera]
    assert await listed(server, third_party_instance_id="irc|oftc") == [oftc]
    assert await listed(server, third_party_instance_id="libera") == []
    everywhere = await listed(server, include_all_networks=True)
    assert sorted(everywhere) == sorted([own, libera, oftc])
    query = {"include_all_networks": "true", "limit": "2"}
    page = await server.anonymous.get("/v3/publicRooms", query=query)
    assert len(page.json["chunk"]) == 2


async def test_a_room_is_taken_out(server: Server, bot: AppserviceClient) -> None:
    """Of this network alone, twice if need be."""
    room_id = await create_room(bot, visibility="public")
    for network in ("libera", "oftc"):
        await list_room(bot, room_id, network=network)
    assert await listed(server, third_party_instance_id="irc|libera") == [room_id]

    for _ in range(2):
        assert (await list_room(bot, room_id, "private")).status == 200

    assert await listed(server, third_party_instance_id="irc|libera") == []
    assert await listed(server, third_party_instance_id="irc|oftc") == [room_id]
    assert await listed(server) == [room_id]


async def test_entries_follow_their_rooms(
    server: Server, bot: AppserviceClient
) -> None:
    room_id = await create_room(bot, name="before")
    await list_room(bot, room_id)
    search = {
        "third_party_instance_id": "irc|libera",
        "filter": {"generic_search_term": "after"},
    }
    assert await listed(server, **search) == []

    await set_state(bot, room_id, "m.room.name", {"name": "after"})

    assert await listed(server, **search) == [room_id]


async def test_what_is_stored_is_read_again(
    server: Server, bot: AppserviceClient
) -> None:
    room_id = await create_room(bot)
    await list_room(bot, room_id)

    for app in server.apps:
        app.journal.forget(app.journal.position)

    assert await listed(server, third_party_instance_id="irc|libera") == [room_id]


async def test_networks_of_one_id_are_two(
    server: Server, bot: AppserviceClient
) -> None:
    """And nobody lists rooms that they are not in."""
    other = await bot_of(server, "irc2")
    room_id = await create_room(bot)
    await list_room(bot, room_id)

    assert error_of(await list_room(other, room_id)) == (403, "M_FORBIDDEN")
    assert (await list_room(other, room_id, "private")).status == 200

    assert await listed(server, third_party_instance_id="irc|libera") == [room_id]
    assert await listed(server, third_party_instance_id="irc2|libera") == []


async def test_any_user_of_the_application_service_is_enough(
    server: Server, bot: AppserviceClient
) -> None:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    assert (await list_room(bot, room_id)).status == 403
    ghost = "@_irc_bob:test"
    body = {"type": "m.login.application_service", "username": "_irc_bob"}
    assert (await bot.post("/v3/register", body)).status == 200
    as_ghost = server.appservice_client(registration("irc"), ghost)
    assert (await as_ghost.post(f"/v3/join/{quote(room_id)}", {})).status == 200

    assert (await list_room(bot, room_id)).status == 200


async def test_what_cannot_be_listed_is_refused(
    server: Server, bot: AppserviceClient
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(bot)

    assert error_of(await list_room(alice, room_id)) == (403, "M_FORBIDDEN")
    assert error_of(await list_room(bot, "!nowhere:test")) == (404, "M_NOT_FOUND")
    assert error_of(await list_room(bot, room_id, "x")) == (400, "M_BAD_JSON")
    long = await list_room(bot, room_id, network="x" * 256)
    assert error_of(long) == (400, "M_INVALID_PARAM")
    path = f"/v3/directory/list/appservice/libera/{quote(room_id)}"
    assert error_of(await bot.put(path, {})) == (400, "M_MISSING_PARAM")
