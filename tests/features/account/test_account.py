"""CS getTokenOwner, changePassword, deactivateAccount, and the operators' commands."""

import asyncio

import pytest

from tests.features.accounts import PASSWORD, AccountsServer
from tremula.protocol.errors import (
    Forbidden,
    InvalidUsername,
    MatrixError,
    NotFound,
    UserInUse,
)
from tremula.protocol.identifiers import UserId

NEW_PASSWORD = "battery staple"
ALICE = UserId("@alice:test")
AUTH = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


async def test_a_guest_is_told_so(accounts: AccountsServer) -> None:
    response = await accounts.client.post("/v3/register?kind=guest", {})
    guest = accounts.with_token(response.json["access_token"])

    assert (await guest.get("/v3/account/whoami")).json == {
        "user_id": response.json["user_id"],
        "device_id": response.json["device_id"],
        "is_guest": True,
    }


async def test_a_new_password_replaces_the_old_and_ends_other_devices(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    other = accounts.with_token((await accounts.log_in("alice")).json["access_token"])
    body: dict[str, object] = {"new_password": NEW_PASSWORD}

    challenge = await alice.post("/v3/account/password", body)
    assert challenge.status == 401
    auth = {**AUTH, "session": challenge.json["session"]}
    changed = await alice.post("/v3/account/password", {**body, "auth": auth})

    assert changed.json == {}
    assert (await other.get("/v3/account/whoami")).status == 401
    devices = (await alice.get("/v3/devices")).json["devices"]
    assert [each["device_id"] for each in devices] == ["PHONE"]
    assert (await accounts.log_in("alice")).status == 403
    assert (await accounts.log_in("alice", password=NEW_PASSWORD)).status == 200


async def test_other_devices_may_be_kept(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    other = accounts.with_token((await accounts.log_in("alice")).json["access_token"])

    changed = await alice.post(
        "/v3/account/password",
        {"new_password": NEW_PASSWORD, "logout_devices": False, "auth": AUTH},
    )

    assert changed.json == {}
    assert (await other.get("/v3/account/whoami")).status == 200


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"new_password": 7}, "M_BAD_JSON"),
        ({"new_password": "short"}, "M_WEAK_PASSWORD"),
        ({"new_password": "x" * 513}, "M_INVALID_PARAM"),
        ({"new_password": NEW_PASSWORD, "logout_devices": "yes"}, "M_BAD_JSON"),
    ],
)
async def test_a_password_that_cannot_be_one_is_refused(
    accounts: AccountsServer, body: dict[str, object], errcode: str
) -> None:
    alice = await accounts.user("alice")

    response = await alice.post("/v3/account/password", {**body, "auth": AUTH})

    assert (response.status, response.json["errcode"]) == (400, errcode)
    assert (await accounts.log_in("alice")).status == 200


async def test_who_is_not_logged_in_is_known_by_the_password(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    body: dict[str, object] = {"new_password": NEW_PASSWORD}

    challenge = await accounts.client.post("/v3/account/password", body)
    assert challenge.status == 401
    auth = {**AUTH, "session": challenge.json["session"]}
    wrong = {**body, "auth": {**auth, "password": "wrong"}}
    refused = await accounts.client.post("/v3/account/password", wrong)
    assert (refused.status, refused.json["errcode"]) == (401, "M_FORBIDDEN")
    changed = await accounts.client.post("/v3/account/password", {**body, "auth": auth})

    assert changed.json == {}
    assert (await alice.get("/v3/account/whoami")).status == 401
    assert (await accounts.log_in("alice", password=NEW_PASSWORD)).status == 200


async def test_a_session_of_nobody_cannot_be_used_by_a_user(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    challenge = await accounts.client.post("/v3/account/deactivate", {})
    auth = {**AUTH, "session": challenge.json["session"]}

    response = await alice.post("/v3/account/deactivate", {"auth": auth})

    assert response.status == 401
    assert response.json["session"] != challenge.json["session"]


async def test_cve_2023_32682_a_deactivated_account_is_closed_for_good(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice", refresh_token=True)
    alice = accounts.with_token(answer["access_token"])

    challenge = await alice.post("/v3/account/deactivate", {})
    assert challenge.status == 401
    auth = {**AUTH, "session": challenge.json["session"]}
    done = await alice.post("/v3/account/deactivate", {"auth": auth})

    assert done.json == {"id_server_unbind_result": "success"}
    assert accounts.hooks.deactivated == ["@alice:test"]
    assert accounts.hooks.erased == []
    assert (await alice.get("/v3/account/whoami")).status == 401
    refreshed = await accounts.client.post(
        "/v3/refresh", {"refresh_token": answer["refresh_token"]}
    )
    assert refreshed.status == 401
    assert (await accounts.log_in("alice")).json["errcode"] == "M_FORBIDDEN"
    again = await accounts.client.post(
        "/v3/register", {"username": "alice", "password": PASSWORD}
    )
    assert again.json["errcode"] == "M_USER_IN_USE"
    with pytest.raises(Forbidden):
        await accounts.accounts.set_password(ALICE, NEW_PASSWORD)


async def test_an_erased_account_removes_what_it_has_stored(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")

    await alice.post("/v3/account/deactivate", {"erase": True, "auth": AUTH})

    assert accounts.hooks.erased == ["@alice:test"]
    assert (await accounts.users.get(ALICE)).is_erased


async def test_consent_to_deactivate_is_no_consent_to_erase(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    session = (await alice.post("/v3/account/deactivate", {})).json["session"]

    response = await alice.post(
        "/v3/account/deactivate", {"erase": True, "auth": {**AUTH, "session": session}}
    )

    assert response.status == 401
    assert (await alice.get("/v3/account/whoami")).status == 200


async def test_a_login_that_crosses_a_deactivation_is_worth_nothing(
    accounts: AccountsServer,
) -> None:
    await accounts.register("alice")

    login, _ = await asyncio.gather(
        accounts.log_in("alice"), accounts.accounts.deactivate(ALICE)
    )

    if login.status == 200:
        alice = accounts.with_token(login.json["access_token"])
        assert (await alice.get("/v3/account/whoami")).status == 401


async def test_an_operator_makes_and_changes_accounts(accounts: AccountsServer) -> None:
    operator = accounts.accounts

    assert await operator.create_user("Alice", "short", is_admin=True) == ALICE
    bob = await operator.create_user("bob", PASSWORD)
    await operator.set_admin(bob, is_admin=True)
    await operator.set_password(ALICE, PASSWORD)
    await operator.deactivate(bob)

    alice_record, bob_record = await operator.list_users()
    assert alice_record.is_admin
    assert bob_record.is_deactivated
    assert not bob_record.is_admin
    assert await operator.list_users(after=ALICE, limit=1) == [bob_record]
    assert PASSWORD not in repr(alice_record)
    assert "argon2" not in repr(alice_record)
    assert (await accounts.log_in("alice")).status == 200
    assert accounts.hooks.registered == [("@alice:test", "alice"), ("@bob:test", "bob")]


@pytest.mark.parametrize(
    ("localpart", "error"),
    [
        ("alice", UserInUse),
        ("a b", InvalidUsername),
        ("", InvalidUsername),
        ("x" * 250, InvalidUsername),
        ("@bob:test", InvalidUsername),
    ],
)
async def test_an_operator_cannot_make_an_impossible_account(
    accounts: AccountsServer, localpart: str, error: type[MatrixError]
) -> None:
    await accounts.register("alice")

    with pytest.raises(error):
        await accounts.accounts.create_user(localpart, PASSWORD)


async def test_an_operator_is_told_of_unknown_users(accounts: AccountsServer) -> None:
    nobody = UserId("@nobody:test")

    with pytest.raises(NotFound):
        await accounts.accounts.set_password(nobody, PASSWORD)
    with pytest.raises(NotFound):
        await accounts.accounts.set_admin(nobody, is_admin=True)
    with pytest.raises(NotFound):
        await accounts.accounts.deactivate(nobody)
