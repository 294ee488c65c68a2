"""Who may make, and remove, the aliases of application services' namespaces."""

from tests.features.appservices.clients import GHOST, IRC, register
from tests.features.appservices.registrations import namespaces, registration
from tests.http_client import Client, HttpResponse
from tests.server import AppserviceClient, Server

ALIAS = "#irc_a:test"
PATH = "/v3/directory/room/%23irc_a:test"


async def add_bridge(server: Server, *, exclusive: bool = True) -> AppserviceClient:
    """It has users `@_irc_…` and aliases `#irc_…`."""
    spaces = namespaces(exclusive=exclusive, users="@_irc_", aliases="#irc_")
    await server.add_appservice(registration("irc", namespaces=spaces))
    await register(server, "_irc_alice")
    return server.appservice_client(IRC, GHOST)


async def room_of(client: Client, **options: object) -> str:
    response = await client.post("/v3/createRoom", options)
    assert response.status == 200, response.body
    room_id: str = response.json["room_id"]
    return room_id


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status, response.json["errcode"]


async def test_others_make_none_of_its_aliases(server: Server) -> None:
    await add_bridge(server)
    bob = server.client("@bob:test")

    put = await bob.put(PATH, {"room_id": await room_of(bob)})
    created = await bob.post("/v3/createRoom", {"room_alias_name": "irc_a"})

    assert refusal(put) == refusal(created) == (400, "M_EXCLUSIVE")


async def test_others_share_what_is_not_exclusive(server: Server) -> None:
    await add_bridge(server, exclusive=False)
    bob = server.client("@bob:test")

    assert await room_of(bob, room_alias_name="irc_a")


async def test_it_makes_its_aliases(server: Server) -> None:
    ghost = await add_bridge(server)

    await room_of(ghost, room_alias_name="irc_a")
    put = await ghost.put(
        "/v3/directory/room/%23irc_b:test", {"room_id": await room_of(ghost)}
    )

    assert put.status == 200


async def test_it_makes_no_others(server: Server) -> None:
    ghost = await add_bridge(server)

    put = await ghost.put(
        "/v3/directory/room/%23other:test", {"room_id": await room_of(ghost)}
    )

    assert refusal(put) == (400, "M_EXCLUSIVE")


async def test_it_controls_its_aliases_of_rooms_that_it_is_not_in(
    server: Server,
) -> None:
    await add_bridge(server)
    bot = server.appservice_client(IRC)
    bob = server.client("@bob:test")
    room_id = await room_of(bob)

    assert (await bot.put(PATH, {"room_id": room_id})).status == 200
    assert (await bob.get(PATH)).json["room_id"] == room_id
    assert (await server.client("@eve:test").delete(PATH)).status == 403
    assert (await bot.delete(PATH)).status == 200
    assert (await bob.get(PATH)).status == 404
