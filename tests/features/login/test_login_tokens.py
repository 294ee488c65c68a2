"""CS generateLoginToken, and the logins that its tokens are for."""

import asyncio
from typing import Any

import pytest

from tests.features.accounts import PASSWORD, AccountsServer
from tests.http_client import Client, HttpResponse

FORBIDDEN = (403, "M_FORBIDDEN")
_PROOF = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


async def login_token(user: Client) -> str:
    """A login token of Alice's."""
    response = await user.post("/v1/login/get_token", {"auth": _PROOF})
    assert response.status == 200, response.body
    token: str = response.json["login_token"]
    return token


async def log_in(accounts: AccountsServer, token: object) -> HttpResponse:
    """Log in with a token."""
    body = {"type": "m.login.token", "token": token}
    return await accounts.client.post("/v3/login", body)


def error_of(response: HttpResponse) -> tuple[int, str]:
    """Status and errcode."""
    return response.status, response.json["errcode"]


async def test_a_device_logs_in_another_one(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")

    answer = await alice.post("/v1/login/get_token", {"auth": _PROOF})
    assert answer.json["expires_in_ms"] == 120_000
    logged_in = (await log_in(accounts, answer.json["login_token"])).json

    other = accounts.with_token(logged_in["access_token"])
    whoami = (await other.get("/v3/account/whoami")).json
    assert whoami["user_id"] == "@alice:test"
    assert whoami["device_id"] == logged_in["device_id"]
    assert len((await other.get("/v3/devices")).json["devices"]) == 2


async def test_a_token_is_good_for_one_login(accounts: AccountsServer) -> None:
    """ "MUST only be valid for a single login", whoever is faster."""
    token = await login_token(await accounts.user("alice"))

    answers = await asyncio.gather(*(log_in(accounts, token) for _ in range(5)))

    assert sorted(answer.status for answer in answers) == [200, 403, 403, 403, 403]
    assert error_of(await log_in(accounts, token)) == FORBIDDEN


async def test_consent_is_asked_for_every_token(accounts: AccountsServer) -> None:
    """ "Servers MUST always re-prompt the user for verification"."""
    alice = await accounts.user("alice")
    challenge = await alice.post("/v1/login/get_token", {})
    assert challenge.status == 401
    proof = {**_PROOF, "session": challenge.json["session"]}
    given = await alice.post("/v1/login/get_token", {"auth": proof})
    assert given.status == 200

    for auth in (None, {"session": challenge.json["session"]}):
        again = await alice.post("/v1/login/get_token", {"auth": auth})
        assert again.status == 401


async def test_a_token_lasts_two_minutes(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    in_time, too_late = [await login_token(alice) for _ in range(2)]

    accounts.clock.advance_ms(119_000)
    assert (await log_in(accounts, in_time)).status == 200
    accounts.clock.advance_ms(1_000)
    assert error_of(await log_in(accounts, too_late)) == FORBIDDEN


async def test_expired_tokens_are_removed(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    await login_token(alice)
    accounts.clock.advance_ms(120_000)
    await login_token(alice)

    assert await accounts.database.first("SELECT COUNT(*) FROM login_tokens") == (1,)


@pytest.mark.parametrize("how", ["logout", "deactivation", "new password"])
async def test_a_token_is_worth_nothing_without_its_device(
    accounts: AccountsServer, how: str
) -> None:
    alice = await accounts.user("alice")
    token = await login_token(alice)

    requests: dict[str, tuple[Client, str, dict[str, Any]]] = {
        "logout": (alice, "logout", {}),
        "deactivation": (alice, "account/deactivate", {"auth": _PROOF}),
        # From no device, so that all are logged out.
        "new password": (
            accounts.client,
            "account/password",
            {"new_password": "battery staple", "auth": _PROOF},
        ),
    }
    client, path, body = requests[how]
    assert (await client.post(f"/v3/{path}", body)).status == 200

    assert error_of(await log_in(accounts, token)) == FORBIDDEN


async def test_a_malformed_login_is_refused(accounts: AccountsServer) -> None:
    for token in ("", "x" * 5000, "\u00e4"):
        assert error_of(await log_in(accounts, token)) == FORBIDDEN
    assert error_of(await log_in(accounts, 7)) == (400, "M_BAD_JSON")
    missing = await accounts.client.post("/v3/login", {"type": "m.login.token"})
    assert error_of(missing) == (400, "M_MISSING_PARAM")


async def test_guests_log_in_nobody(accounts: AccountsServer) -> None:
    answer = await accounts.client.post("/v3/register?kind=guest", {})
    guest = accounts.with_token(answer.json["access_token"])

    refused = await guest.post("/v1/login/get_token", {})

    assert error_of(refused) == (403, "M_GUEST_ACCESS_FORBIDDEN")
