"""Who may lock, suspend and look up whom, over HTTP (CS "Server Administration")."""

import pytest

from tests.features.account_moderation.administrators import ROOT, admin
from tests.features.rooms import error_of
from tests.server import PASSWORD, Server
from tremula.features.devices.last_seen import LastSeen
from tremula.features.sessions.service import Sighting
from tremula.protocol.identifiers import DeviceId, UserId

BOB = "@bob:test"


@pytest.mark.parametrize("action", ["lock", "suspend"])
async def test_others_than_administrators_learn_nothing(
    server: Server, action: str
) -> None:
    await admin(server)
    bob = server.client(BOB)

    for target in (BOB, ROOT, "@nobody:test", "@who:elsewhere", "nonsense"):
        path = f"/v1/admin/{action}/{target}"
        assert error_of(await bob.get(path)) == (403, "M_FORBIDDEN")
        body = {f"{action}ed": True}
        assert error_of(await bob.put(path, body)) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    ("action", "key"), [("lock", "locked"), ("suspend", "suspended")]
)
async def test_administrators_reach_users_of_this_server(
    server: Server, action: str, key: str
) -> None:
    root, other = await admin(server), await admin(server, "@other:test")
    assert (await other.get("/v3/account/whoami")).status == 200

    async def put(target: str, body: object) -> tuple[int, str]:
        return error_of(await root.put(f"/v1/admin/{action}/{target}", body))

    assert await put("@who:elsewhere", {key: True}) == (400, "M_INVALID_PARAM")
    assert await put("nonsense", {key: True}) == (400, "M_INVALID_PARAM")
    assert await put("@nobody:test", {key: True}) == (404, "M_NOT_FOUND")
    assert await put("@other:test", {key: True}) == (403, "M_FORBIDDEN")
    assert await put(ROOT, {key: True}) == (403, "M_FORBIDDEN")
    assert (await root.get(f"/v1/admin/{action}/{ROOT}")).json == {key: False}
    refused = await root.get(f"/v1/admin/{action}/@other:test")
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_what_is_no_truth_value_is_refused(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    await bob.get("/v3/account/whoami")

    refused = await root.put(f"/v1/admin/lock/{BOB}", {})
    assert error_of(refused) == (400, "M_MISSING_PARAM")
    for body in ({"locked": 1}, {"locked": None}, {"locked": "true"}):
        refused = await root.put(f"/v1/admin/lock/{BOB}", body)
        assert error_of(refused) == (400, "M_BAD_JSON")


async def test_a_deactivated_account_is_not_to_be_found(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": BOB},
        "password": PASSWORD,
    }
    assert (await bob.post("/v3/account/deactivate", {"auth": auth})).status == 200

    refused = await root.get(f"/v1/admin/lock/{BOB}")

    assert error_of(refused) == (404, "M_NOT_FOUND")


async def test_the_capability_is_that_of_administrators(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB)

    mine = (await root.get("/v3/capabilities")).json["capabilities"]
    his = (await bob.get("/v3/capabilities")).json["capabilities"]

    assert mine["m.account_moderation"] == {"suspend": True, "lock": True}
    assert "m.account_moderation" not in his


async def test_whois_shows_from_where_a_user_comes(server: Server) -> None:
    root, bob = await admin(server), server.client(BOB, device_id="PHONE")
    await bob.get("/v3/account/whoami")
    path = f"/v3/admin/whois/{BOB}"
    unseen: dict[str, object] = {"PHONE": {"sessions": [{"connections": []}]}}
    assert (await root.get(path)).json == {"user_id": BOB, "devices": unseen}
    last_seen = LastSeen(server.app.journal)
    last_seen.record(
        Sighting(UserId(BOB), DeviceId("PHONE"), 1_000, "192.0.2.7", "Phone 1.0")
    )
    await last_seen.flush()

    connection = {"ip": "192.0.2.7", "last_seen": 1_000, "user_agent": "Phone 1.0"}
    for client in (bob, root):
        assert (await client.get(path)).json == {
            "user_id": BOB,
            "devices": {"PHONE": {"sessions": [{"connections": [connection]}]}},
        }
    refused = await bob.get(f"/v3/admin/whois/{ROOT}")
    assert error_of(refused) == (403, "M_FORBIDDEN")
    refused = await root.get("/v3/admin/whois/@nobody:test")
    assert error_of(refused) == (404, "M_NOT_FOUND")
