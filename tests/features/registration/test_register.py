"""CS register, checkUsernameAvailability, registrationTokenValidity."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.backends import table_of_refusals
from tests.features.accounts import PASSWORD, AccountsServer, Policy
from tremula.features.users.service import Passwords
from tremula.infra.config import Registration, RegistrationMode
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import UserId

BY_TOKEN = Policy(registration=Registration(mode=RegistrationMode.TOKEN))
CLOSED = Policy(registration=Registration(mode=RegistrationMode.CLOSED))
DUMMY = {"type": "m.login.dummy"}


def token_auth(token: object) -> dict[str, object]:
    return {"type": "m.login.registration_token", "token": token}


def body(username: object = "alice", **fields: object) -> dict[str, Any]:
    return {"username": username, "password": PASSWORD, "auth": DUMMY, **fields}


async def test_registration_takes_two_requests(accounts: AccountsServer) -> None:
    challenge = await accounts.client.post("/v3/register", body(auth=None))
    assert challenge.status == 401
    assert challenge.json["flows"] == [{"stages": ["m.login.dummy"]}]

    auth = {**DUMMY, "session": challenge.json["session"]}
    response = await accounts.client.post("/v3/register", body(auth=auth))

    assert response.status == 200
    assert response.json["user_id"] == "@alice:test"
    alice = accounts.with_token(response.json["access_token"])
    whoami = (await alice.get("/v3/account/whoami")).json
    assert whoami["device_id"] == response.json["device_id"]
    assert accounts.hooks.registered == [("@alice:test", "alice")]


async def test_the_flows_can_be_asked_for_before_the_username_is_known(
    accounts: AccountsServer,
) -> None:
    session = (await accounts.client.post("/v3/register", {})).json["session"]

    response = await accounts.client.post(
        "/v3/register", body(auth={**DUMMY, "session": session})
    )

    assert response.status == 200


async def test_a_registration_session_is_used_once(accounts: AccountsServer) -> None:
    session = (await accounts.client.post("/v3/register", {})).json["session"]
    auth = {**DUMMY, "session": session}

    first = await accounts.client.post("/v3/register", body("alice", auth=auth))
    second = await accounts.client.post("/v3/register", body("bob", auth=auth))

    assert (first.status, second.status) == (200, 401)


async def test_a_login_can_be_inhibited(accounts: AccountsServer) -> None:
    response = await accounts.client.post("/v3/register", body(inhibit_login=True))

    assert response.json == {"user_id": "@alice:test"}


async def test_the_device_is_the_clients(accounts: AccountsServer) -> None:
    alice = await accounts.user(
        "alice", device_id="PHONE", initial_device_display_name="My phone"
    )

    devices = (await alice.get("/v3/devices")).json["devices"]
    assert (devices[0]["device_id"], devices[0]["display_name"]) == (
        "PHONE",
        "My phone",
    )


async def test_a_username_is_made_up_if_none_is_given(accounts: AccountsServer) -> None:
    first, second = [
        (
            await accounts.client.post(
                "/v3/register", {"password": PASSWORD, "auth": DUMMY}
            )
        ).json["user_id"]
        for _ in range(2)
    ]

    assert first != second


async def test_capitals_are_folded(accounts: AccountsServer) -> None:
    assert (await accounts.register("Alice"))["user_id"] == "@alice:test"


@table_of_refusals
@pytest.mark.parametrize(
    ("request_body", "errcode"),
    [
        (body(7), "M_BAD_JSON"),
        (body(""), "M_INVALID_USERNAME"),
        (body("al ice"), "M_INVALID_USERNAME"),
        (body("älice"), "M_INVALID_USERNAME"),
        (body("@alice:test"), "M_INVALID_USERNAME"),
        (body("x" * 250), "M_INVALID_USERNAME"),
        (body(password="short"), "M_WEAK_PASSWORD"),
        (body(password=""), "M_WEAK_PASSWORD"),
        (body(password="x" * 513), "M_INVALID_PARAM"),
        (body(password=None), "M_MISSING_PARAM"),
        (body(device_id=""), "M_INVALID_PARAM"),
        (body(initial_device_display_name="x" * 101), "M_INVALID_PARAM"),
        (body(inhibit_login=1), "M_BAD_JSON"),
        (body(refresh_token="true"), "M_BAD_JSON"),
        (body(auth=[]), "M_BAD_JSON"),
        ([], "M_BAD_JSON"),
    ],
)
async def test_a_registration_that_cannot_be_is_refused(
    accounts: AccountsServer, request_body: object, errcode: str
) -> None:
    response = await accounts.client.post("/v3/register", request_body)

    assert (response.status, response.json["errcode"]) == (400, errcode)
    assert await accounts.accounts.list_users() == []


async def test_the_longest_username_fits(accounts: AccountsServer) -> None:
    answer = await accounts.register("x" * 249)

    assert len(answer["user_id"]) == 255


async def test_a_taken_username_is_refused_before_authentication(
    accounts: AccountsServer,
) -> None:
    await accounts.register("alice")

    response = await accounts.client.post("/v3/register", body("ALICE", auth=None))

    assert (response.status, response.json["errcode"]) == (400, "M_USER_IN_USE")


async def test_of_two_registrations_at_once_one_gets_the_name(
    accounts: AccountsServer,
) -> None:
    responses = await asyncio.gather(
        *(accounts.client.post("/v3/register", body()) for _ in range(3))
    )

    assert sorted(each.status for each in responses) == [200, 400, 400]
    refused = [each for each in responses if each.status == 400]
    assert {each.json["errcode"] for each in refused} == {"M_USER_IN_USE"}


async def test_an_unknown_kind_is_refused(accounts: AccountsServer) -> None:
    response = await accounts.client.post("/v3/register?kind=admin", body())

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_a_guest_needs_and_gets_nothing_but_an_account(
    accounts: AccountsServer,
) -> None:
    response = await accounts.client.post(
        "/v3/register?kind=guest",
        {"username": 7, "device_id": "MINE", "initial_device_display_name": "Web"},
    )

    assert response.status == 200
    assert response.json["device_id"] != "MINE"
    guest = accounts.with_token(response.json["access_token"])
    devices = (await guest.get("/v3/devices")).json["devices"]
    assert [each["display_name"] for each in devices] == ["Web"]
    for path in ("account/password", "account/deactivate", "delete_devices"):
        refused = await guest.post(f"/v3/{path}", {})
        assert refused.json["errcode"] == "M_GUEST_ACCESS_FORBIDDEN"
    login = await accounts.log_in(response.json["user_id"], password="")
    assert login.status == 403


@pytest.mark.parametrize("policy", [CLOSED, BY_TOKEN])
async def test_guests_are_refused_unless_welcome(accounts: AccountsServer) -> None:
    response = await accounts.client.post("/v3/register?kind=guest", {})

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("policy", [CLOSED])
async def test_a_closed_server_answers_nothing_about_names_and_tokens(
    accounts: AccountsServer,
) -> None:
    await accounts.accounts.create_user("alice", PASSWORD)
    responses = [
        await accounts.client.post("/v3/register", body()),
        await accounts.client.get("/v3/register/available?username=alice"),
        await accounts.client.get(
            "/v1/register/m.login.registration_token/validity?token=x"
        ),
    ]

    assert {(each.status, each.json["errcode"]) for each in responses} == {
        (403, "M_FORBIDDEN")
    }


@pytest.mark.parametrize(
    ("username", "status", "errcode"),
    [
        ("bob", 200, None),
        ("alice", 400, "M_USER_IN_USE"),
        ("Alice", 400, "M_USER_IN_USE"),
        ("a%20b", 400, "M_INVALID_USERNAME"),
        ("", 400, "M_INVALID_USERNAME"),
    ],
)
async def test_a_username_can_be_checked(
    accounts: AccountsServer, username: str, status: int, errcode: str | None
) -> None:
    await accounts.register("alice")

    response = await accounts.client.get(f"/v3/register/available?username={username}")

    assert (response.status, response.json.get("errcode")) == (status, errcode)


async def test_a_check_needs_a_username(accounts: AccountsServer) -> None:
    response = await accounts.client.get("/v3/register/available")

    assert response.json["errcode"] == "M_MISSING_PARAM"


@pytest.mark.parametrize("policy", [BY_TOKEN])
async def test_a_token_lets_as_many_in_as_it_allows(accounts: AccountsServer) -> None:
    token = (await accounts.tokens.create(uses_allowed=2)).token
    challenge = await accounts.client.post("/v3/register", {})
    assert challenge.json["flows"] == [{"stages": ["m.login.registration_token"]}]

    responses = await asyncio.gather(
        *(
            accounts.client.post("/v3/register", body(name, auth=token_auth(token)))
            for name in ("a", "b", "c", "d")
        )
    )

    statuses = [each.status for each in responses]
    assert statuses.count(200) == 2
    assert not set(statuses) - {200, 401, 403}
    late = await accounts.client.post("/v3/register", body(auth=token_auth(token)))
    assert (late.status, late.json["errcode"]) == (401, "M_FORBIDDEN")


@pytest.mark.parametrize("policy", [BY_TOKEN])
async def test_a_failed_registration_does_not_use_the_token(
    accounts: AccountsServer,
) -> None:
    token = (await accounts.tokens.create(uses_allowed=2)).token
    auth = token_auth(token)
    await asyncio.gather(
        *(accounts.client.post("/v3/register", body(auth=auth)) for _ in range(2))
    )

    [stored] = await accounts.tokens.all()
    assert stored.uses == 1


async def _delete(accounts: AccountsServer) -> None:
    await accounts.tokens.delete("soon")


async def _expire(accounts: AccountsServer) -> None:
    accounts.clock.advance_ms(1000)


@pytest.mark.parametrize("policy", [BY_TOKEN])
@pytest.mark.parametrize("meanwhile", [_delete, _expire])
async def test_a_token_that_is_none_any_more_lets_nobody_in(
    accounts: AccountsServer,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[AccountsServer], Awaitable[None]],
) -> None:
    """Its stage was completed before: the password is still being hashed, or more."""
    expires_ts_ms = accounts.clock.now_ms() + 1000
    await accounts.tokens.create("soon", expires_ts_ms=expires_ts_ms)
    hash_ = Passwords.hash

    async def slowly(self: Passwords, password: str) -> str:
        await meanwhile(accounts)
        return await hash_(self, password)

    monkeypatch.setattr(Passwords, "hash", slowly)
    auth = token_auth("soon")
    response = await accounts.client.post("/v3/register", body(auth=auth))

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
    assert await accounts.users.find(UserId("@alice:test")) is None


@pytest.mark.parametrize("policy", [BY_TOKEN])
@pytest.mark.parametrize("token", ["unknown", "", "x" * 1000])
async def test_an_unknown_token_is_refused(
    accounts: AccountsServer, token: str
) -> None:
    response = await accounts.client.post("/v3/register", body(auth=token_auth(token)))

    assert (response.status, response.json["errcode"]) == (401, "M_FORBIDDEN")


@pytest.mark.parametrize("policy", [BY_TOKEN])
async def test_a_dummy_does_not_stand_in_for_a_token(accounts: AccountsServer) -> None:
    assert (await accounts.client.post("/v3/register", body())).status == 401


@pytest.mark.parametrize("policy", [BY_TOKEN])
async def test_the_validity_of_a_token_can_be_asked(accounts: AccountsServer) -> None:
    async def is_valid(token: str) -> object:
        response = await accounts.client.get(
            f"/v1/register/m.login.registration_token/validity?token={token}"
        )
        return response.json["valid"]

    expires_ts_ms = accounts.clock.now_ms() + 1000
    await accounts.tokens.create("soon", expires_ts_ms=expires_ts_ms)
    await accounts.tokens.create("none", uses_allowed=0)

    assert [await is_valid(each) for each in ("soon", "none", "other")] == [
        True,
        False,
        False,
    ]
    accounts.clock.advance_ms(1000)
    assert await is_valid("soon") is False
    await accounts.tokens.create("forever")
    assert await is_valid("forever") is True
    await accounts.tokens.delete("forever")
    assert await is_valid("forever") is False


@pytest.mark.parametrize("token", ["", "x" * 65, "a b", "twice"])
async def test_an_impossible_token_is_not_made(
    accounts: AccountsServer, token: str
) -> None:
    await accounts.tokens.create("twice")

    with pytest.raises(InvalidParam):
        await accounts.tokens.create(token)
