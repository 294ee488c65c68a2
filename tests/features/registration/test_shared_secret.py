"""Registration by shared secret, as operators' scripts do it."""

import hmac
from typing import Any

import pytest

from tests.features.accounts import PASSWORD, AccountsServer, Policy
from tests.http_client import HttpResponse
from tremula.infra.config import Registration, RegistrationMode

PATH = "/_synapse/admin/v1/register"
CLOSED = Policy(
    registration=Registration(mode=RegistrationMode.CLOSED, shared_secret="sesame")
)
WITHOUT_SECRET = Policy(registration=Registration(mode=RegistrationMode.OPEN))


def mac(*parts: str, secret: str = "sesame") -> str:
    return hmac.new(secret.encode(), "\0".join(parts).encode(), "sha1").hexdigest()


async def get_nonce(accounts: AccountsServer) -> str:
    nonce: str = (await accounts.client.get(PATH)).json["nonce"]
    return nonce


async def register(
    accounts: AccountsServer, nonce: str, **fields: object
) -> HttpResponse:
    body: dict[str, Any] = {
        "nonce": nonce,
        "username": "alice",
        "password": PASSWORD,
        "admin": False,
        "mac": mac(nonce, "alice", PASSWORD, "notadmin"),
        **fields,
    }
    return await accounts.client.post(PATH, body)


@pytest.mark.parametrize("policy", [CLOSED])
async def test_who_knows_the_secret_registers_even_where_it_is_closed(
    accounts: AccountsServer,
) -> None:
    response = await register(accounts, await get_nonce(accounts))

    assert response.status == 200
    answer = response.json
    assert set(answer) == {"access_token", "user_id", "home_server", "device_id"}
    assert (answer["user_id"], answer["home_server"]) == ("@alice:test", "test")
    alice = accounts.with_token(answer["access_token"])
    assert (await alice.get("/v3/account/whoami")).status == 200
    assert not (await accounts.users.get(accounts.users.id_of("alice"))).is_admin


async def test_an_administrator_can_be_registered(accounts: AccountsServer) -> None:
    nonce = await get_nonce(accounts)

    response = await register(
        accounts, nonce, admin=True, mac=mac(nonce, "alice", PASSWORD, "admin")
    )

    assert response.status == 200
    assert (await accounts.users.get(accounts.users.id_of("alice"))).is_admin


async def test_the_mac_covers_the_user_type(accounts: AccountsServer) -> None:
    nonce = await get_nonce(accounts)

    response = await register(
        accounts,
        nonce,
        user_type="bot",
        mac=mac(nonce, "alice", PASSWORD, "notadmin", "bot"),
    )

    assert response.status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"mac": ""},
        {"mac": "é"},
        {"admin": True},
        {"username": "mallory"},
        {"password": "another one"},
        {"user_type": "bot"},
    ],
)
async def test_a_request_that_the_mac_does_not_cover_is_refused(
    accounts: AccountsServer, fields: dict[str, object]
) -> None:
    response = await register(accounts, await get_nonce(accounts), **fields)

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
    assert await accounts.accounts.list_users() == []


async def test_a_nonce_works_once_and_for_a_minute(accounts: AccountsServer) -> None:
    used = await get_nonce(accounts)
    await register(accounts, used)
    stale = await get_nonce(accounts)
    accounts.clock.advance_ms(60_000)

    for nonce in (used, stale, "unknown"):
        response = await register(accounts, nonce)
        assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_a_taken_name_is_refused(accounts: AccountsServer) -> None:
    await accounts.register("alice")

    response = await register(accounts, await get_nonce(accounts))

    assert (response.status, response.json["errcode"]) == (400, "M_USER_IN_USE")


@pytest.mark.parametrize("policy", [WITHOUT_SECRET])
async def test_nothing_is_there_without_a_secret(accounts: AccountsServer) -> None:
    for response in (
        await accounts.client.get(PATH),
        await register(accounts, "nonce", mac=mac("nonce", secret="")),
    ):
        assert (response.status, response.json["errcode"]) == (404, "M_UNRECOGNIZED")
