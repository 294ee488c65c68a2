"""Administrators add, change and remove application services, over HTTP."""

from typing import Any

import pytest

from tests.features.appservices.clients import (
    GHOST,
    IRC,
    ME,
    create,
    register,
)
from tests.features.appservices.registrations import (
    namespaces,
    registration_object,
)
from tests.http_client import HttpResponse
from tests.server import Server, UserClient

ALL = "/_tremula/admin/v1/appservices"
ONE = f"{ALL}/irc"


async def administrator(server: Server) -> UserClient:
    client = server.client(ME)
    await client.get("/v3/account/whoami")
    await server.app.accounts.set_admin(ME, is_admin=True)
    return client


async def sender_of(server: Server) -> HttpResponse:
    client = server.appservice_client(IRC)
    return await client.get("/v3/account/whoami")


async def test_one_is_added_and_works_at_once(server: Server) -> None:
    admin = await administrator(server)

    response = await admin.put(ONE, registration_object("irc"))

    assert response.status == 201
    assert (await sender_of(server)).json["user_id"] == "@_irc_bot:test"
    listed = await admin.get(ALL)
    assert listed.json == {
        "appservices": [
            {
                "id": "irc",
                "url": None,
                "sender": "@_irc_bot:test",
                "owner": None,
                "from_file": False,
            }
        ]
    }


async def test_one_is_shown_with_its_tokens(server: Server) -> None:
    admin = await administrator(server)
    await admin.put(ONE, registration_object("irc"))

    shown = (await admin.get(ONE)).json

    registered = shown["registration"]
    assert registered["as_token"] == IRC.as_token
    assert registered["hs_token"] == IRC.hs_token
    assert registered["namespaces"]["users"] == [
        {"regex": "@_irc_.*", "exclusive": True}
    ]
    assert shown["waiting_events"] == 0
    assert shown["states"] == []


async def test_one_is_changed(server: Server) -> None:
    admin = await administrator(server)
    await admin.put(ONE, registration_object("irc"))

    response = await admin.put(ONE, registration_object("irc", sender_localpart="b"))

    assert response.status == 200
    assert (await sender_of(server)).json["user_id"] == "@b:test"


async def test_one_is_removed(server: Server) -> None:
    admin = await administrator(server)
    await admin.put(ONE, registration_object("irc"))

    assert (await admin.delete(ONE)).status == 200

    assert (await sender_of(server)).status == 401
    for response in (
        await admin.get(ONE),
        await admin.delete(ONE),
        await admin.post(f"{ONE}/replay", {"since_ts": 0}),
    ):
        assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_one_is_told_again(server: Server) -> None:
    admin = await administrator(server)
    await admin.put(ONE, registration_object("irc", url="http://bridge.test"))
    await register(server, "_irc_alice")
    ghost = server.appservice_client(IRC, GHOST)
    await ghost.post("/v3/createRoom", {})

    response = await admin.post(f"{ONE}/replay", {"since_ts": 0})

    assert response.status == 200
    assert response.json["events"] > 0
    shown = (await admin.get(ONE)).json
    # They may be on their way already.
    is_begun = shown["transaction_under_way"]
    assert is_begun or shown["waiting_events"] >= response.json["events"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"id": "other"}, "id"),
        ({"namespaces": namespaces(users="@a(")}, "namespaces.users[0].regex"),
        ({"as_token": ""}, "as_token"),
        ({"url": "file:///etc/passwd"}, "url"),
    ],
)
async def test_what_is_wrong_is_told(
    server: Server, changes: dict[str, Any], key: str
) -> None:
    admin = await administrator(server)

    response = await admin.put(ONE, registration_object("irc", **changes))

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")
    assert key in response.json["error"]
    assert (await admin.get(ALL)).json == {"appservices": []}


async def test_others_may_not(server: Server) -> None:
    await create(server, "@bob:test")
    bob = server.client("@bob:test")

    for response in (
        await bob.get(ALL),
        await bob.get(ONE),
        await bob.put(ONE, registration_object("irc")),
        await bob.delete(ONE),
        await bob.post(f"{ONE}/replay", {"since_ts": 0}),
    ):
        assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
