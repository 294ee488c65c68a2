"""Users' own bridges, over HTTP, as bridge-manager adds them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.appservices.registrations import namespaces, registration
from tests.http_client import Client, HttpResponse
from tests.server import Server, UserClient, config_for, running_server
from tremula.infra.config import Appservices
from tremula.protocol.appservices import Registration, parse_registration

PATH = "/_matrix/asmux/mxauth/appservice/me/sh-irc"
WEBSOCKET = {"push": False, "self_hosted": True}


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[Server]:
    """A server on which each user may have two bridges."""
    config = replace(
        config_for(database_source, tmp_path), appservices=Appservices(users_may_add=2)
    )
    async with running_server(config) as server:
        yield server


@pytest.fixture
def me(server: Server) -> UserClient:
    return server.client("@me:test")


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status, response.json["errcode"]


async def added(me: UserClient, path: str = PATH) -> Registration:
    response = await me.put(path, WEBSOCKET)
    assert response.status == 201, response.body
    return parse_registration(response.json)


async def register(server: Server, bridge: Registration, username: str) -> HttpResponse:
    body = {"type": "m.login.application_service", "username": username}
    return await server.appservice_client(bridge).post("/v3/register", body)


async def test_a_bridge_is_added_and_gets_its_registration(me: UserClient) -> None:
    response = await me.put(PATH, WEBSOCKET)

    assert response.status == 201
    body = response.json
    assert body["namespaces"]["users"] == [
        {"regex": r"@sh-irc_.+:test", "exclusive": True},
        {"regex": r"@sh-irc" + r"bot:test", "exclusive": True},
    ]
    assert body["sender_localpart"] == "sh-ircbot"
    assert body["url"] is None
    assert body["rate_limited"] is False
    assert body["as_token"] != body["hs_token"]
    assert {body["receive_ephemeral"], body["org.matrix.msc3202"]} == {True}


async def test_the_same_again_is_the_same(me: UserClient) -> None:
    first = await me.put(PATH, WEBSOCKET)
    again = await me.put(PATH, WEBSOCKET)
    got = await me.get(PATH)

    assert (again.status, got.status) == (200, 200)
    assert first.json == again.json == got.json


async def test_a_bridge_moves_and_keeps_its_tokens(me: UserClient) -> None:
    first = await added(me)

    moved = await me.put(PATH, {"address": "https://bridge.test", "push": True})

    assert moved.status == 200
    assert moved.json["url"] == "https://bridge.test"
    assert moved.json["as_token"] == first.as_token
    assert moved.json["url_may_be_private"] is False


async def test_a_bridge_acts_as_its_ghosts_its_bot_and_its_owner(
    server: Server, me: UserClient
) -> None:
    bridge = await added(me)
    for username in ("sh-ircbot", "sh-irc_alice"):
        assert (await register(server, bridge, username)).status == 200

    for user_id in ("@sh-ircbot:test", "@sh-irc_alice:test", "@me:test"):
        client = server.appservice_client(bridge, user_id)
        assert (await client.get("/v3/account/whoami")).json["user_id"] == user_id


async def test_a_removed_bridge_is_gone(server: Server, me: UserClient) -> None:
    bridge = await added(me)

    response = await me.delete(PATH)

    assert (response.status, response.body) == (204, b"")
    assert refusal(await me.get(PATH)) == (404, "M_NOT_FOUND")
    assert refusal(await me.delete(PATH)) == (404, "M_NOT_FOUND")
    client = server.appservice_client(bridge)
    assert (await client.get("/v3/account/whoami")).status == 401


async def test_a_bridge_goes_with_its_owner(server: Server, me: UserClient) -> None:
    bridge = await added(me)

    await server.app.accounts.deactivate(me.user_id)

    response = await server.appservice_client(bridge).get("/v3/account/whoami")
    assert refusal(response) == (401, "M_UNKNOWN_TOKEN")


async def test_its_name_stays_its_owners(server: Server, me: UserClient) -> None:
    bridge = await added(me)
    await register(server, bridge, "sh-irc_alice")
    await me.delete(PATH)

    other = server.client("@other:test")
    taken = await other.put(PATH.replace("/me/", "/other/"), WEBSOCKET)
    again = await added(me)

    assert refusal(taken) == (400, "M_EXCLUSIVE")
    client = server.appservice_client(again, "@sh-irc_alice:test")
    assert (await client.get("/v3/account/whoami")).status == 200


async def test_nobody_elses_users_are_taken(server: Server, me: UserClient) -> None:
    await server.client("@sh-irc_human:test").get("/v3/account/whoami")
    await server.client("@sh-xbot:test").get("/v3/account/whoami")
    await server.add_appservice(
        registration("a", namespaces=namespaces(users="@sh-y_special_.*"))
    )
    await server.add_appservice(
        registration("b", namespaces=namespaces(users="@sh-z.*"))
    )

    for name in ("sh-irc", "sh-x", "sh-y", "sh-z"):
        response = await me.put(PATH.replace("sh-irc", name), WEBSOCKET)
        assert refusal(response) == (400, "M_EXCLUSIVE"), name
    assert (await me.put(PATH.replace("sh-irc", "sh"), WEBSOCKET)).status == 201


async def test_a_bridge_is_its_owners_only(server: Server, me: UserClient) -> None:
    bridge = await added(me)
    acting: list[Client] = [
        server.client("@other:test"),
        server.appservice_client(bridge, "@me:test"),
    ]

    for client in acting:
        for response in (
            await client.get(PATH),
            await client.put(PATH, WEBSOCKET),
            await client.delete(PATH),
        ):
            assert refusal(response) == (403, "M_FORBIDDEN")


async def test_users_have_as_many_as_the_operator_lets_them(me: UserClient) -> None:
    for name in ("a", "b"):
        await added(me, PATH.replace("sh-irc", name))

    response = await me.put(PATH, WEBSOCKET)

    assert refusal(response) == (403, "M_FORBIDDEN")
    await me.delete(PATH.replace("sh-irc", "a"))
    await added(me)


@pytest.mark.parametrize("name", ["A", "a" * 33, "a_b", "%C3%A4", "a%2Fb"])
async def test_a_name_has_its_form(me: UserClient, name: str) -> None:
    response = await me.put(PATH.replace("sh-irc", name), WEBSOCKET)

    assert refusal(response) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    "body",
    [{"address": "file:///", "push": True}, {"address": "x" * 3000, "push": True}],
)
async def test_an_address_has_its_form(me: UserClient, body: dict[str, Any]) -> None:
    assert refusal(await me.put(PATH, body)) == (400, "M_INVALID_PARAM")


async def test_by_default_users_have_none(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    async with running_server(config_for(database_source, tmp_path)) as server:
        response = await server.client("@me:test").put(PATH, WEBSOCKET)

    assert refusal(response) == (403, "M_FORBIDDEN")
