"""CS module "Device Management"."""

import pytest

from tests.features.accounts import PASSWORD, AccountsServer
from tests.http_client import Client
from tremula.features.devices.service import DeviceChange
from tremula.protocol.identifiers import DeviceId

PHONE = DeviceId("PHONE")

AUTH = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


async def second_device(accounts: AccountsServer, device_id: str) -> Client:
    login = await accounts.log_in("alice", device_id=device_id)
    return accounts.with_token(login.json["access_token"])


async def test_a_device_is_listed_with_its_name_and_last_use(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user(
        "alice", device_id="PHONE", initial_device_display_name="My phone"
    )
    assert (await alice.get("/v3/devices")).json == {
        "devices": [{"device_id": "PHONE", "display_name": "My phone"}]
    }

    await accounts.last_seen.flush()

    assert (await alice.get("/v3/devices/PHONE")).json == {
        "device_id": "PHONE",
        "display_name": "My phone",
        "last_seen_ip": "127.0.0.1",
        "last_seen_ts": accounts.clock.now_ms(),
    }


async def test_the_last_use_is_noted_once_a_minute(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    await alice.get("/v3/devices")
    await accounts.last_seen.flush()
    first_ms = accounts.clock.now_ms()

    accounts.clock.advance_ms(59_000)
    await alice.get("/v3/devices")
    await accounts.last_seen.flush()
    unchanged = (await alice.get("/v3/devices/PHONE")).json["last_seen_ts"]
    accounts.clock.advance_ms(1000)
    await alice.get("/v3/devices")
    await accounts.last_seen.flush()
    changed = (await alice.get("/v3/devices/PHONE")).json["last_seen_ts"]

    assert (unchanged, changed) == (first_ms, first_ms + 60_000)


async def test_a_login_does_not_rename_a_known_device(
    accounts: AccountsServer,
) -> None:
    await accounts.user("alice", device_id="PHONE", initial_device_display_name="Old")

    login = await accounts.log_in(
        "alice", device_id="PHONE", initial_device_display_name="New"
    )

    alice = accounts.with_token(login.json["access_token"])
    assert (await alice.get("/v3/devices/PHONE")).json["display_name"] == "Old"


async def test_a_device_is_renamed_by_its_owner_only(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    bob = await accounts.user("bob")

    assert (await alice.put("/v3/devices/PHONE", {"display_name": "A"})).json == {}
    assert (await alice.put("/v3/devices/PHONE", {})).json == {}

    refused = await bob.put("/v3/devices/PHONE", {"display_name": "B"})
    assert (refused.status, refused.json["errcode"]) == (404, "M_NOT_FOUND")
    assert (await bob.get("/v3/devices/PHONE")).status == 404
    assert (await alice.get("/v3/devices/PHONE")).json["display_name"] == "A"


@pytest.mark.parametrize(
    ("name", "errcode"),
    [("x" * 101, "M_INVALID_PARAM"), (7, "M_BAD_JSON"), ("a\0b", "M_BAD_JSON")],
)
async def test_a_name_that_cannot_be_one_is_refused(
    accounts: AccountsServer, name: object, errcode: str
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")

    response = await alice.put("/v3/devices/PHONE", {"display_name": name})

    assert (response.status, response.json["errcode"]) == (400, errcode)


async def test_a_device_is_deleted_after_authentication(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    laptop = await second_device(accounts, "LAPTOP")

    challenge = await alice.delete("/v3/devices/LAPTOP")
    assert challenge.status == 401
    auth = {**AUTH, "session": challenge.json["session"]}
    assert (await alice.delete("/v3/devices/LAPTOP", {"auth": auth})).json == {}

    assert (await laptop.get("/v3/devices")).status == 401
    assert (await alice.get("/v3/devices/LAPTOP")).status == 404
    # "or had been removed previously"
    again = await alice.delete("/v3/devices/LAPTOP", {"auth": AUTH})
    assert again.status == 200


async def test_several_devices_are_deleted_at_once(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    laptop = await second_device(accounts, "LAPTOP")
    tablet = await second_device(accounts, "TABLET")

    response = await alice.post(
        "/v3/delete_devices",
        {"devices": ["LAPTOP", "TABLET", "GONE", "LAPTOP"], "auth": AUTH},
    )

    assert response.json == {}
    assert [(await each.get("/v3/devices")).status for each in (laptop, tablet)] == [
        401,
        401,
    ]
    devices = (await alice.get("/v3/devices")).json["devices"]
    assert [each["device_id"] for each in devices] == ["PHONE"]


@pytest.mark.parametrize(
    ("devices", "errcode"),
    [
        (None, "M_BAD_JSON"),
        ("PHONE", "M_BAD_JSON"),
        ([7], "M_BAD_JSON"),
        ([""], "M_INVALID_PARAM"),
        (["x" * 256], "M_INVALID_PARAM"),
        (["x"] * 501, "M_BAD_JSON"),
    ],
)
async def test_a_malformed_list_of_devices_is_refused(
    accounts: AccountsServer, devices: object, errcode: str
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")

    response = await alice.post(
        "/v3/delete_devices", {"devices": devices, "auth": AUTH}
    )

    assert (response.status, response.json["errcode"]) == (400, errcode)


async def test_changes_of_devices_are_announced(accounts: AccountsServer) -> None:
    changes: list[tuple[object, object]] = []
    accounts.journal.subscribe(
        "device", lambda _pos, key, change: changes.append((key, change))
    )
    alice = await accounts.user("alice", device_id="PHONE")
    await alice.put("/v3/devices/PHONE", {"display_name": "A"})
    await alice.put("/v3/devices/PHONE", {"display_name": "A"})
    await alice.post("/v3/logout", {})

    assert changes == [
        ("@alice:test", DeviceChange(changed=(PHONE,))),
        ("@alice:test", DeviceChange(changed=(PHONE,))),
        ("@alice:test", DeviceChange(deleted=(PHONE,))),
    ]
