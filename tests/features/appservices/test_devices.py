"""Application services manage the devices and keys of their users, not of others."""

from dataclasses import replace
from typing import Any

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.accounts import AccountsServer
from tests.features.appservices.clients import (
    GHOST,
    IRC,
    ME,
    add_with_ghost,
    create,
)
from tests.features.appservices.registrations import registration
from tests.server import AppserviceClient, Server

PATH = "/v3/devices/GHOSTLY"


async def ids_of(client: AppserviceClient) -> list[str]:
    devices: list[dict[str, Any]] = (await client.get("/v3/devices")).json["devices"]
    return sorted(each["device_id"] for each in devices)


async def test_it_makes_a_device(server: Server) -> None:
    client = await add_with_ghost(server)

    made = await client.put(PATH, {"display_name": "bridge"})
    renamed = await client.put(PATH, {"display_name": "the bridge"})

    assert (made.status, renamed.status) == (201, 200)
    device = await client.get(PATH)
    assert device.json == {"device_id": "GHOSTLY", "display_name": "the bridge"}


async def test_it_acts_as_a_device(server: Server) -> None:
    client = await add_with_ghost(server)
    await client.put(PATH, {})

    for parameter in ("device_id", "org.matrix.msc3202.device_id"):
        response = await client.get("/v3/account/whoami", query={parameter: "GHOSTLY"})
        assert response.json["device_id"] == "GHOSTLY"


async def test_a_device_that_is_gone_is_acted_as_no_longer(server: Server) -> None:
    client = await add_with_ghost(server)
    on_device = server.appservice_client(IRC, GHOST, "GHOSTLY")
    for _ in range(2):
        await client.put(PATH, {})
        assert (await on_device.get("/v3/account/whoami")).status == 200
        assert (await client.delete(PATH, {})).status == 200

        response = await on_device.get("/v3/account/whoami")
        assert (response.status, response.json["errcode"]) == (400, "M_UNKNOWN_DEVICE")


async def test_the_use_of_a_device_is_recorded_now_and_then(
    accounts: AccountsServer,
) -> None:
    await accounts.appservices.add(IRC)
    client = replace(accounts.client, token=IRC.as_token)
    body = {"type": "m.login.application_service", "username": "_irc_alice"}
    await client.post("/v3/register", {**body, "device_id": "GHOSTLY"})
    path = f"{PATH}?user_id={GHOST}&device_id=GHOSTLY"

    async def seen_ts() -> int | None:
        await client.get(path)
        await accounts.last_seen.flush()
        found: int | None = (await client.get(path)).json.get("last_seen_ts")
        return found

    first = accounts.clock.now_ms()
    assert await seen_ts() == first
    accounts.clock.advance_ms(59_000)
    assert await seen_ts() == first
    accounts.clock.advance_ms(1000)
    assert await seen_ts() == first + 60_000


@pytest.mark.parametrize("device_id", ["A" * 256, "%00"])
async def test_a_malformed_device_id_is_refused(server: Server, device_id: str) -> None:
    client = await add_with_ghost(server)

    response = await client.put(f"/v3/devices/{device_id}", {})

    assert response.status == 400


async def test_it_deletes_devices_without_authentication(server: Server) -> None:
    client = await add_with_ghost(server)
    for device_id in ("A", "B", "C"):
        await client.put(f"/v3/devices/{device_id}", {})

    assert (await client.delete("/v3/devices/A", {})).status == 200
    deleted = await client.post("/v3/delete_devices", {"devices": ["B"]})

    assert deleted.status == 200
    assert await ids_of(client) == ["C"]


async def test_it_replaces_cross_signing_keys_without_authentication(
    server: Server,
) -> None:
    client = await add_with_ghost(server)
    path = "/v3/keys/device_signing/upload"

    for identity in (CrossSigningIdentity(GHOST), CrossSigningIdentity(GHOST, "2")):
        assert (await client.post(path, identity.upload())).status == 200


async def test_it_uploads_the_keys_of_a_device(server: Server) -> None:
    client = await add_with_ghost(server)
    await client.put(PATH, {})
    keys = {"device_keys": CryptoDevice(GHOST, "GHOSTLY").keys()}

    without = await client.post("/v3/keys/upload", keys)
    on_device = server.appservice_client(IRC, GHOST, "GHOSTLY")
    with_device = await on_device.post("/v3/keys/upload", keys)

    assert (without.status, with_device.status) == (400, 200)


async def test_its_owners_devices_and_keys_are_not_its(server: Server) -> None:
    await create(server, ME)
    await server.add_appservice(registration("irc", owner=ME))
    client = server.appservice_client(IRC, ME)
    [device_id] = await ids_of(client)
    path = "/v3/keys/device_signing/upload"
    await client.post(path, CrossSigningIdentity(ME).upload())

    assert (await client.put(PATH, {})).status == 404
    on_device = server.appservice_client(IRC, ME, device_id)
    for _ in range(2):
        response = await on_device.get("/v3/account/whoami")
        assert (response.status, response.json["errcode"]) == (400, "M_UNKNOWN_DEVICE")
    for response in (
        await client.delete(f"/v3/devices/{device_id}", {}),
        await client.post("/v3/delete_devices", {"devices": [device_id]}),
        await client.post(path, CrossSigningIdentity(ME, "2").upload()),
    ):
        assert response.status == 401
        assert "flows" in response.json


async def test_others_make_no_devices(server: Server) -> None:
    response = await server.client("@bob:test").put(PATH, {})

    assert (response.status, response.json["errcode"]) == (404, "M_NOT_FOUND")
