"""What a password permits, as it is changed at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.fakes.processes import Process, rest
from tests.features.accounts import PASSWORD, AccountsServer
from tests.features.device_keys.server import cross_sign, publish, query, start_keys
from tests.features.slow_passwords import check_slowly
from tests.http_client import Client, HttpResponse
from tremula.protocol.identifiers import UserId

Both = tuple[AccountsServer, AccountsServer]
Meanwhile = Callable[[AccountsServer], Awaitable[object]]

ALICE = UserId("@alice:test")
ANOTHER = "another password"
AUTH = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}
_ROUNDS = 5


async def _change_password(server: AccountsServer) -> None:
    await server.accounts.set_password(ALICE, ANOTHER, logs_out=False)


async def _deactivate(server: AccountsServer) -> None:
    await server.accounts.deactivate(ALICE)


async def _lock(server: AccountsServer) -> None:
    unit = server.journal.unit()
    server.users.set_is_locked(unit, ALICE, is_locked=True)
    server.sessions.reload_user(unit, ALICE)
    await server.journal.commit(unit)


async def _devices(server: AccountsServer) -> list[str]:
    devices = await server.accounts.devices.all_of(ALICE)
    return [each.device_id for each in devices]


def _outcome(response: HttpResponse) -> tuple[int, str | None]:
    return response.status, response.json.get("errcode")


@pytest.mark.parametrize("logs_out", [True, False])
async def test_of_two_changes_of_a_password_at_once_one_counts(
    accounts: Both, *, logs_out: bool
) -> None:
    """The later one has proved to know a password that is one no more."""
    one, other = accounts
    await one.accounts.create_user("alice", PASSWORD)
    old = PASSWORD
    for number in range(_ROUNDS):
        new = [f"password {number} of {place}" for place in range(2)]
        responses = await asyncio.gather(
            *(
                each.client.post(
                    "/v3/account/password",
                    {
                        "new_password": password,
                        "logout_devices": logs_out,
                        "auth": {**AUTH, "password": old},
                    },
                )
                for each, password in zip(accounts, new, strict=True)
            )
        )

        outcomes = [_outcome(each) for each in responses]
        assert sorted(outcomes, key=str) == [(200, None), (401, "M_FORBIDDEN")]
        old = new[outcomes.index((200, None))]
        assert (await other.log_in("alice", password=old)).status == 200


async def test_who_is_too_late_with_a_password_may_go_on_with_the_new_one(
    accounts: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = accounts
    alice = await one.user("alice", device_id="PHONE")
    body: dict[str, Any] = {"new_password": "a third password"}
    session = (await alice.post("/v3/account/password", body)).json["session"]
    check_slowly(monkeypatch, lambda: _change_password(other))

    refused = await alice.post(
        "/v3/account/password", {**body, "auth": {**AUTH, "session": session}}
    )

    assert _outcome(refused) == (401, "M_FORBIDDEN")
    auth = {**AUTH, "password": ANOTHER, "session": refused.json["session"]}
    changed = await alice.post("/v3/account/password", {**body, "auth": auth})
    assert changed.json == {}
    assert (await one.log_in("alice", password="a third password")).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v3/account/deactivate", {}),
        ("/v3/account/password", {"new_password": "a third password"}),
        ("/v3/delete_devices", {"devices": ["PHONE"]}),
        ("/v1/login/get_token", {}),
    ],
)
async def test_a_password_that_is_changed_while_it_is_checked_permits_nothing(
    accounts: Both, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, object]
) -> None:
    one, other = accounts
    alice = await one.user("alice", device_id="PHONE")
    check_slowly(monkeypatch, lambda: _change_password(other))

    response = await alice.post(path, {**body, "auth": AUTH})

    assert _outcome(response) == (401, "M_FORBIDDEN")
    assert response.json["error"] == "invalid username or password"
    assert await _devices(one) == ["PHONE"]
    assert (await one.log_in("alice", password=ANOTHER)).status == 200


@pytest.mark.parametrize(
    ("meanwhile", "outcome"),
    [(_deactivate, (403, "M_FORBIDDEN")), (_lock, (401, "M_USER_LOCKED"))],
)
async def test_an_account_that_is_closed_meanwhile_permits_nothing(
    accounts: Both,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Meanwhile,
    outcome: tuple[int, str],
) -> None:
    one, other = accounts
    await one.accounts.create_user("alice", PASSWORD)
    check_slowly(monkeypatch, lambda: meanwhile(other))

    response = await one.client.post(
        "/v3/account/password", {"new_password": ANOTHER, "auth": AUTH}
    )

    assert _outcome(response) == outcome


async def test_other_keys_are_not_taken_with_an_old_password(
    accounts: Both, processes: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = accounts
    [alice] = await _phone(one)
    first, second = (CrossSigningIdentity(ALICE, each) for each in "12")
    await cross_sign(alice, first)
    await rest(*processes)
    check_slowly(monkeypatch, lambda: _change_password(other))

    response = await alice.post(
        "/v3/keys/device_signing/upload", {**second.upload(), "auth": AUTH}
    )

    assert _outcome(response) == (401, "M_FORBIDDEN")
    shown = (await query(alice, ALICE))["master_keys"][ALICE]
    assert shown["keys"] == first.public("master")["keys"]


async def test_a_session_is_used_once_however_often_keys_are_tried_to_store(
    accounts: Both, processes: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change of the user's devices meanwhile is nothing to ask them for."""
    alice, elsewhere = await _phone(*accounts)
    first, second = (CrossSigningIdentity(ALICE, each) for each in "12")
    await cross_sign(alice, first)
    await rest(*processes)
    path, keys = "/v3/keys/device_signing/upload", second.upload()
    session = (await alice.post(path, keys)).json["session"]
    phone = CryptoDevice(ALICE, "PHONE")
    check_slowly(monkeypatch, lambda: publish(elsewhere, phone))

    response = await alice.post(path, {**keys, "auth": {**AUTH, "session": session}})

    assert (response.status, response.json) == (200, {})


async def _phone(*servers: AccountsServer) -> list[Client]:
    """Alice's phone, at each process."""
    apps = [start_keys(each).app.app for each in servers]
    token = (await servers[0].register("alice", device_id="PHONE"))["access_token"]
    return [Client(app, token) for app in apps]
