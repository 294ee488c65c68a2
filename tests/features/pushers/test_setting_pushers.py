"""CS getPushers and postPusher."""

from typing import Any

import pytest

from tests.backends import table_of_refusals
from tests.features.pushers.pushing import URL, http_pusher
from tests.http_client import Client
from tests.server import PASSWORD, Server
from tremula.features.pushers import storage
from tremula.features.pushers.pusher import StoredPusher
from tremula.infra.db import Reader
from tremula.protocol.identifiers import UserId

ALICE = "@alice:test"
BOB = "@bob:test"


async def pushers_of(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/v3/pushers")).json["pushers"]
    return found


async def pushkeys_of(client: Client) -> list[str]:
    return [each["pushkey"] for each in await pushers_of(client)]


async def set_pusher(client: Client, body: object) -> None:
    response = await client.post("/v3/pushers/set", body)
    assert (response.status, response.json) == (200, {})


async def delete_pusher(client: Client, pushkey: str) -> None:
    body = {"pushkey": pushkey, "kind": None, "app_id": "org.example.app.android"}
    await set_pusher(client, body)


async def test_a_pusher_is_shown_as_it_was_set(server: Server) -> None:
    alice = server.client(ALICE, device_id="PHONE")
    data = {"url": URL, "format": "event_id_only", "com.example.aps": {"x": [1]}}

    await set_pusher(alice, http_pusher(profile_tag="work", data=data))

    assert await pushers_of(alice) == [
        {
            "pushkey": "key",
            "kind": "http",
            "app_id": "org.example.app.android",
            "app_display_name": "App",
            "device_display_name": "Phone",
            "profile_tag": "work",
            "lang": "en",
            "data": data,
            "org.matrix.msc3881.enabled": True,
            "org.matrix.msc3881.device_id": "PHONE",
        }
    ]


async def test_a_pusher_that_is_set_again_is_changed(server: Server) -> None:
    alice = server.client(ALICE)
    await set_pusher(alice, http_pusher())

    await set_pusher(alice, http_pusher(lang="de"))

    assert [each["lang"] for each in await pushers_of(alice)] == ["de"]


async def test_pushers_of_other_apps_and_keys_stay(server: Server) -> None:
    alice = server.client(ALICE)
    await set_pusher(alice, http_pusher("one"))
    await set_pusher(alice, http_pusher("two"))
    await set_pusher(alice, http_pusher("two", app_id="org.example.ios"))

    await delete_pusher(alice, "two")

    assert [(each["app_id"], each["pushkey"]) for each in await pushers_of(alice)] == [
        ("org.example.app.android", "one"),
        ("org.example.ios", "two"),
    ]


async def test_nobody_is_hurt_by_deleting_what_is_not_there(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await set_pusher(bob, http_pusher())

    await delete_pusher(alice, "key")

    assert await pushkeys_of(bob) == ["key"]


@pytest.mark.parametrize(("append", "left"), [(True, ["key"]), (None, [])])
async def test_a_pushkey_is_taken_from_other_users_unless_appended(
    server: Server, append: bool | None, left: list[str]
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await set_pusher(alice, http_pusher())

    await set_pusher(bob, http_pusher(append=append))

    assert await pushkeys_of(bob) == ["key"]
    assert await pushkeys_of(alice) == left


@table_of_refusals
@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"pushkey": None}, "M_MISSING_PARAM"),
        ({"app_id": None}, "M_MISSING_PARAM"),
        ({"app_display_name": None}, "M_MISSING_PARAM"),
        ({"device_display_name": None}, "M_MISSING_PARAM"),
        ({"lang": None}, "M_MISSING_PARAM"),
        ({"data": None}, "M_MISSING_PARAM"),
        ({"data": "no object"}, "M_BAD_JSON"),
        ({"append": "yes"}, "M_BAD_JSON"),
        ({"kind": "pigeon"}, "M_INVALID_PARAM"),
        ({"pushkey": ""}, "M_INVALID_PARAM"),
        ({"pushkey": "ä" * 257}, "M_INVALID_PARAM"),
        ({"app_id": "x" * 65}, "M_INVALID_PARAM"),
        ({"lang": "x" * 65}, "M_INVALID_PARAM"),
        ({"device_display_name": "x" * 513}, "M_INVALID_PARAM"),
        ({"profile_tag": "x" * 513}, "M_INVALID_PARAM"),
        ({"app_id": "m.email"}, "M_INVALID_PARAM"),
        ({"kind": "email"}, "M_INVALID_PARAM"),
        (
            {"kind": "email", "app_id": "m.email", "pushkey": "alice@example.org"},
            "M_THREEPID_NOT_FOUND",
        ),
        ({"data": {}}, "M_INVALID_PARAM"),
        ({"data": {"url": 7}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL, "x": "x" * 8_192}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL.replace("https", "http")}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL.replace("https", "ftp")}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL + "/more"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "https://push.example.org/"}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL.replace("push.", "a:b@")}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL.replace("v1", "../v1")}}, "M_INVALID_PARAM"),
    ],
)
async def test_a_pusher_that_cannot_be_one_is_refused(
    server: Server, changes: dict[str, Any], errcode: str
) -> None:
    alice = server.client(ALICE)

    response = await alice.post("/v3/pushers/set", http_pusher(**changes))

    assert (response.status, response.json["errcode"]) == (400, errcode)
    assert await pushers_of(alice) == []


async def test_kind_null_has_to_be_said(server: Server) -> None:
    response = await server.client(ALICE).post(
        "/v3/pushers/set", {"pushkey": "key", "app_id": "org.example.app.android"}
    )

    assert (response.status, response.json["errcode"]) == (400, "M_MISSING_PARAM")


async def test_a_user_has_a_hundred_pushers_at_most(server: Server) -> None:
    alice = server.client(ALICE)
    for number in range(100):
        await set_pusher(alice, http_pusher(f"key {number}"))

    refused = await alice.post("/v3/pushers/set", http_pusher("one more"))

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")
    await set_pusher(alice, http_pusher("key 7", lang="de"))


async def test_a_pusher_goes_with_its_device(server: Server) -> None:
    laptop = server.client(ALICE, device_id="LAPTOP")
    phone = server.client(ALICE, device_id="PHONE")
    await set_pusher(laptop, http_pusher("laptop"))
    await set_pusher(phone, http_pusher("phone"))

    await phone.post("/v3/logout", {})

    assert await pushkeys_of(laptop) == ["laptop"]


@pytest.mark.one_process(reason="it lets one process read the pushers too slowly")
async def test_a_device_that_logs_out_meanwhile_gets_no_pusher(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could remove it: it would go on telling what the user is sent."""
    laptop = server.client(ALICE, device_id="LAPTOP")
    phone = server.client(ALICE, device_id="PHONE")
    assert await pushers_of(laptop) == await pushers_of(phone) == []
    pushers = storage.pushers_of

    async def slowly(db: Reader, user_id: UserId) -> list[StoredPusher]:
        monkeypatch.setattr(storage, "pushers_of", pushers)
        known = await pushers(db, user_id)
        await phone.post("/v3/logout", {})
        return known

    monkeypatch.setattr(storage, "pushers_of", slowly)
    refused = await phone.post("/v3/pushers/set", http_pusher("phone"))

    assert (refused.status, refused.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert await pushkeys_of(laptop) == []


async def test_a_new_password_leaves_the_pushers_of_the_device_that_set_it(
    server: Server,
) -> None:
    laptop = server.client(ALICE, device_id="LAPTOP")
    phone = server.client(ALICE, device_id="PHONE")
    await set_pusher(laptop, http_pusher("laptop"))
    await set_pusher(phone, http_pusher("phone"))

    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": ALICE},
        "password": PASSWORD,
    }
    body = {"new_password": "battery staple", "auth": auth}
    assert (await laptop.post("/v3/account/password", body)).status == 200

    assert await pushkeys_of(laptop) == ["laptop"]


async def test_the_last_device_to_set_a_pusher_is_the_one_it_goes_with(
    server: Server,
) -> None:
    laptop = server.client(ALICE, device_id="LAPTOP")
    phone = server.client(ALICE, device_id="PHONE")
    await set_pusher(laptop, http_pusher())
    await set_pusher(phone, http_pusher())

    assert [e["org.matrix.msc3881.device_id"] for e in await pushers_of(laptop)] == [
        "PHONE"
    ]


async def test_another_device_may_disable_a_pusher_that_stays_where_it_belongs(
    server: Server,
) -> None:
    laptop = server.client(ALICE, device_id="LAPTOP")
    phone = server.client(ALICE, device_id="PHONE")
    await set_pusher(phone, http_pusher())

    await set_pusher(laptop, {**http_pusher(), "org.matrix.msc3881.enabled": False})

    [shown] = await pushers_of(laptop)
    assert shown["org.matrix.msc3881.enabled"] is False
    assert shown["org.matrix.msc3881.device_id"] == "PHONE"
