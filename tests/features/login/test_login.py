"""CS getLoginFlows, login, logout, logout_all."""

import pytest

from tests.backends import table_of_refusals
from tests.features.accounts import PASSWORD, AccountsServer, Policy, login_body
from tremula.infra.config import PasswordHashing

FORBIDDEN = (403, "M_FORBIDDEN")
# ``PASSWORD``, at the least cost.
CHEAP_HASH = (
    "$argon2id$v=19$m=8,t=1,p=1$GXihGfx2XsHaS/vLvr968w"
    "$OfaL7/rEbKRBuBIEe4Q7qo59oiLs4yGQCkUNFqDNnOA"
)


async def test_only_flows_that_work_are_offered(accounts: AccountsServer) -> None:
    response = await accounts.client.get("/v3/login")

    assert response.json == {
        "flows": [
            {"type": "m.login.password"},
            {"type": "m.login.token", "get_login_token": True},
            {"type": "m.login.application_service"},
        ]
    }


@pytest.mark.parametrize(
    "name", ["alice", "ALICE", "@alice:test", "@Alice:test", "aLiCe"]
)
async def test_a_user_is_named_by_user_id_or_localpart_in_any_case(
    accounts: AccountsServer, name: str
) -> None:
    await accounts.register("alice")

    response = await accounts.log_in(name)

    assert response.status == 200
    assert response.json["user_id"] == "@alice:test"
    whoami = await accounts.with_token(response.json["access_token"]).get(
        "/v3/account/whoami"
    )
    assert whoami.json == {
        "user_id": "@alice:test",
        "device_id": response.json["device_id"],
        "is_guest": False,
    }


async def test_the_deprecated_user_key_still_works(accounts: AccountsServer) -> None:
    await accounts.register("alice")

    response = await accounts.client.post(
        "/v3/login", {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    )

    assert response.status == 200


@pytest.mark.parametrize(
    "user", ["alice", "nobody", "@alice:elsewhere", "@", "", "@:test", "x" * 3000]
)
async def test_a_wrong_password_and_an_unknown_user_look_alike(
    accounts: AccountsServer, user: str
) -> None:
    await accounts.register("alice")

    response = await accounts.log_in(user, password="wrong password")

    assert (response.status, response.json["errcode"]) == FORBIDDEN
    assert response.json["error"] == "invalid username or password"


@table_of_refusals
@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"type": 3}, "M_BAD_JSON"),
        ({"type": "m.login.sso"}, "M_UNKNOWN"),
        ({"type": "m.login.password"}, "M_MISSING_PARAM"),
        (login_body("alice", password=None), "M_MISSING_PARAM"),
        (login_body("alice", password=7), "M_BAD_JSON"),
        (login_body("alice", password="x" * 513), "M_INVALID_PARAM"),
        (login_body("alice", identifier="alice"), "M_BAD_JSON"),
        (login_body("alice", identifier={"type": "m.id.user"}), "M_MISSING_PARAM"),
        (login_body("alice", identifier={"type": "x", "user": "a"}), "M_INVALID_PARAM"),
        (login_body("alice", device_id=""), "M_INVALID_PARAM"),
        (login_body("alice", device_id="x" * 256), "M_INVALID_PARAM"),
        (login_body("alice", initial_device_display_name="x" * 101), "M_INVALID_PARAM"),
        (login_body("alice", refresh_token="yes"), "M_BAD_JSON"),
    ],
)
async def test_a_malformed_request_is_refused(
    accounts: AccountsServer, body: dict[str, object], errcode: str
) -> None:
    await accounts.register("alice")

    response = await accounts.client.post("/v3/login", body)

    assert (response.status, response.json["errcode"]) == (400, errcode)


@pytest.mark.parametrize(
    "fields",
    [
        {"identifier": {"type": "m.id.thirdparty", "medium": "x", "address": "a"}},
        {"identifier": {"type": "m.id.phone", "country": "GB", "phone": "1"}},
        {"medium": "msisdn", "address": "123"},
    ],
)
async def test_phone_numbers_are_refused_in_plain_words(
    accounts: AccountsServer, fields: dict[str, object]
) -> None:
    response = await accounts.client.post(
        "/v3/login", {"type": "m.login.password", "password": PASSWORD, **fields}
    )

    assert (response.status, response.json["errcode"]) == FORBIDDEN
    assert "log in with your user ID" in response.json["error"]


async def test_a_login_with_a_known_device_ends_its_old_token(
    accounts: AccountsServer,
) -> None:
    """ "The server will invalidate any access … tokens previously assigned"."""
    old = await accounts.user("alice", device_id="PHONE")

    response = await accounts.log_in("alice", device_id="PHONE")

    assert response.json["device_id"] == "PHONE"
    assert (await old.get("/v3/account/whoami")).json["errcode"] == "M_UNKNOWN_TOKEN"
    new = accounts.with_token(response.json["access_token"])
    devices = (await new.get("/v3/devices")).json["devices"]
    assert [each["device_id"] for each in devices] == ["PHONE"]


async def test_logout_removes_the_device_and_its_token(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    other = accounts.with_token((await accounts.log_in("alice")).json["access_token"])

    assert (await alice.post("/v3/logout", {})).json == {}

    assert (await alice.get("/v3/devices")).status == 401
    assert len((await other.get("/v3/devices")).json["devices"]) == 1


async def test_logout_all_removes_every_device(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    bob = await accounts.user("bob")
    other = accounts.with_token((await accounts.log_in("alice")).json["access_token"])

    assert (await alice.post("/v3/logout/all", {})).json == {}

    for client in (alice, other):
        response = await client.get("/v3/devices")
        assert (response.status, response.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")
        assert "soft_logout" not in response.json
    assert (await bob.get("/v3/devices")).status == 200


@pytest.mark.parametrize(
    "policy", [Policy(hashing=PasswordHashing(time_cost=2, memory_kib=16))]
)
async def test_a_login_raises_the_cost_of_an_old_hash(accounts: AccountsServer) -> None:
    await accounts.register("alice")
    user_id = accounts.users.id_of("alice")
    unit = accounts.journal.unit()
    accounts.users.set_password_hash(unit, user_id, CHEAP_HASH)
    await accounts.journal.commit(unit)

    assert (await accounts.log_in("alice")).status == 200

    new_hash = (await accounts.users.get(user_id)).password_hash
    assert new_hash is not None
    assert new_hash.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert (await accounts.log_in("alice")).status == 200
