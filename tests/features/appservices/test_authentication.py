"""Whom application services act as, over HTTP."""

from tests.fakes.requesting_client import FakeRequestingClient
from tests.features.appservices.clients import (
    GHOST,
    IRC,
    ME,
    add_with_ghost,
    create,
    register,
)
from tests.features.appservices.registrations import registration
from tests.query_counter import counted
from tests.server import Server


async def test_without_a_user_it_is_its_sender(server: Server) -> None:
    await server.add_appservice(IRC)

    response = await server.appservice_client(IRC).get("/v3/account/whoami")

    assert response.json == {"user_id": "@_irc_bot:test", "is_guest": False}


async def test_it_acts_as_a_user_of_its_namespaces(server: Server) -> None:
    client = await add_with_ghost(server)

    response = await client.get("/v3/account/whoami")

    assert response.json == {"user_id": GHOST, "is_guest": False}


async def test_it_acts_as_nobody_else(server: Server) -> None:
    await server.add_appservice(IRC)
    await create(server, "@bob:test")

    for user_id in ("@bob:test", "@_irc_alice:elsewhere", "nonsense"):
        client = server.appservice_client(IRC, user_id)
        response = await client.get("/v3/account/whoami")
        assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_it_acts_as_its_owner_without_their_powers(server: Server) -> None:
    await create(server, ME)
    await server.app.accounts.set_admin(ME, is_admin=True)
    await server.add_appservice(registration("irc", owner=ME))
    client = server.appservice_client(IRC, ME)

    response = await client.get("/v3/account/whoami")
    assert response.json["user_id"] == ME

    response = await client.get("/_tremula/admin/v1/reports")
    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_users_have_to_be_registered_first(server: Server) -> None:
    await server.add_appservice(IRC)
    client = server.appservice_client(IRC, GHOST)
    paths = ("/v3/account/whoami", "/_matrix/client/versions")

    for path in paths:
        response = await client.get(path)
        assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")

    await register(server, "_irc_alice")
    for path in paths:
        assert (await client.get(path)).status == 200


async def test_versions_are_told_to_anybody_but_who_has_a_wrong_token(
    server: Server,
) -> None:
    path = "/_matrix/client/versions"

    assert (await server.anonymous.get(path)).status == 200
    assert (await server.client("@bob:test").get(path)).status == 200
    response = await server.appservice_client(IRC).get(path)
    assert (response.status, response.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")


async def test_a_removed_one_is_let_in_no_longer(server: Server) -> None:
    client = await add_with_ghost(server)
    assert (await client.get("/v3/account/whoami")).status == 200

    await server.app.appservices.remove("irc")

    response = await client.get("/v3/account/whoami")
    assert (response.status, response.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")


async def test_a_deactivated_user_is_acted_as_no_longer(server: Server) -> None:
    client = await add_with_ghost(server)
    assert (await client.get("/v3/account/whoami")).status == 200

    await server.app.accounts.deactivate(GHOST)

    response = await client.get("/v3/account/whoami")
    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_a_locked_owner_is_locked_for_the_bridge_as_well(server: Server) -> None:
    await create(server, ME)
    await server.add_appservice(registration("irc", owner=ME))
    client = server.appservice_client(IRC, ME)
    assert (await client.get("/v3/account/whoami")).status == 200

    await server.app.moderation.accounts.set_locked(ME, is_locked=True)

    response = await client.get("/v3/account/whoami")
    assert (response.status, response.json["errcode"]) == (401, "M_USER_LOCKED")


async def test_it_sends_without_a_device(server: Server) -> None:
    client = await add_with_ghost(server)
    room_id = (await client.post("/v3/createRoom", {})).json["room_id"]
    path = f"/v3/rooms/{room_id}/send/m.room.message/txn"

    first = await client.put(path, {"msgtype": "m.text", "body": "hi"})
    again = await client.put(path, {"msgtype": "m.text", "body": "hi"})

    assert first.status == 200
    assert first.json == again.json
    event_id = first.json["event_id"]
    event = (await client.get(f"/v3/rooms/{room_id}/event/{event_id}")).json
    assert event["sender"] == GHOST


async def test_an_unknown_device_is_refused(server: Server) -> None:
    await add_with_ghost(server)

    for parameter in ("device_id", "org.matrix.msc3202.device_id"):
        response = await server.appservice_client(IRC, GHOST).get(
            "/v3/account/whoami", query={parameter: "NOWHERE"}
        )
        assert (response.status, response.json["errcode"]) == (400, "M_UNKNOWN_DEVICE")


async def test_limits_are_for_masqueraded_users(server: Server) -> None:
    await server.add_appservice(IRC)
    await register(server, "_irc_alice")
    owners = server.app.application.authenticator

    async def is_limited(token: str, query_string: bytes = b"") -> bool:
        requester = await owners.authenticate(
            token, FakeRequestingClient(), query_string=query_string
        )
        return requester.is_rate_limited

    query = f"user_id={GHOST}".encode()
    assert not await is_limited(IRC.as_token)
    assert await is_limited(IRC.as_token, query)
    await server.app.appservices.replace(registration("irc", rate_limited=False))
    assert not await is_limited(IRC.as_token, query)


async def test_the_second_request_needs_no_query(server: Server) -> None:
    await add_with_ghost(server)
    client = server.appservice_client(IRC, GHOST)
    for _ in server.apps:
        await client.get("/v3/account/whoami")

    with counted(server.db) as queries:
        await client.get("/v3/account/whoami")

    assert not queries.reads
