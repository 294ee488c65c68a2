"""Logins, refreshes and logouts that come at the same time, at two processes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.features.accounts import PASSWORD, AccountsServer
from tests.features.appservices.registrations import registration
from tests.features.slow_passwords import check_slowly
from tests.http_client import HttpResponse
from tremula.features.users.service import Users
from tremula.protocol.identifiers import DeviceId, UserId

Both = tuple[AccountsServer, AccountsServer]
Meanwhile = Callable[[AccountsServer], Awaitable[object]]

ALICE = UserId("@alice:test")
BRIDGE = registration("irc")
GHOST = UserId("@_irc_alice:test")
_ROUNDS = 5
_LOGINS = 5


async def _sessions(
    server: AccountsServer, user_id: UserId = ALICE
) -> tuple[list[str], list[str]]:
    """The user's devices, and those that have tokens."""
    devices = await server.database.all(
        "SELECT device_id FROM devices WHERE user_id = :user_id ORDER BY device_id",
        user_id=user_id,
    )
    granted = await server.database.all(
        """
        SELECT DISTINCT device_id FROM sessions_grants WHERE user_id = :user_id
        ORDER BY device_id
        """,
        user_id=user_id,
    )
    return [row[0] for row in devices], [row[0] for row in granted]


async def _logged_in(server: AccountsServer, **body: object) -> dict[str, Any]:
    if await server.users.find(ALICE) is None:
        await server.accounts.create_user("alice", PASSWORD)
    response = await server.log_in("alice", **body)
    assert response.status == 200, response
    answer: dict[str, Any] = response.json
    return answer


async def _add_bridge(accounts: Both) -> None:
    one, other = accounts
    await one.appservices.add(BRIDGE)
    # As each request does.
    await other.journal.settled()


async def _log_in_ghost(server: AccountsServer) -> HttpResponse:
    return await server.with_token(BRIDGE.as_token).post(
        "/v3/login",
        {
            "type": "m.login.application_service",
            "identifier": {"type": "m.id.user", "user": GHOST},
        },
    )


async def _change_password(server: AccountsServer) -> None:
    await server.accounts.set_password(ALICE, "another password")


async def _deactivate(server: AccountsServer) -> None:
    await server.accounts.deactivate(ALICE)


async def _lock(server: AccountsServer) -> None:
    unit = server.journal.unit()
    server.users.set_is_locked(unit, ALICE, is_locked=True)
    server.sessions.reload_user(unit, ALICE)
    await server.journal.commit(unit)


@pytest.mark.parametrize(
    ("meanwhile", "status", "errcode"),
    [
        (_change_password, 403, "M_FORBIDDEN"),
        (_deactivate, 403, "M_FORBIDDEN"),
        (_lock, 401, "M_USER_LOCKED"),
    ],
)
async def test_what_happens_while_a_password_is_checked_counts(
    accounts: Both,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Meanwhile,
    status: int,
    errcode: str,
) -> None:
    one, other = accounts
    await one.accounts.create_user("alice", PASSWORD)
    check_slowly(monkeypatch, lambda: meanwhile(other))

    response = await one.log_in("alice")

    assert (response.status, response.json["errcode"]) == (status, errcode)
    assert await _sessions(one) == ([], [])


async def test_a_password_that_is_hashed_anew_while_it_is_checked_is_still_right(
    accounts: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = accounts
    await one.accounts.create_user("alice", PASSWORD)
    check_slowly(monkeypatch, lambda: other.accounts.set_password(ALICE, PASSWORD))

    assert (await one.log_in("alice")).status == 200


@pytest.mark.parametrize("meanwhile", [_change_password, _deactivate])
async def test_a_login_token_is_worth_nothing_once_all_are_logged_out(
    accounts: Both, monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile
) -> None:
    one, other = accounts
    phone = await one.user("alice", device_id="PHONE")
    proof = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
    }
    token = (await phone.post("/v1/login/get_token", {"auth": proof})).json[
        "login_token"
    ]
    check_not_locked = Users.check_not_locked

    async def slowly(self: Users, user_id: UserId) -> None:
        await check_not_locked(self, user_id)
        monkeypatch.setattr(Users, "check_not_locked", check_not_locked)
        await meanwhile(other)

    monkeypatch.setattr(Users, "check_not_locked", slowly)
    body = {"type": "m.login.token", "token": token}
    response = await one.client.post("/v3/login", body)

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
    assert await _sessions(one) == ([], [])


async def test_a_bridge_does_not_log_in_whom_it_has_just_deactivated(
    accounts: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = accounts
    await _add_bridge(accounts)
    assert (await _log_in_ghost(one)).status == 200
    check_not_locked = Users.check_not_locked

    async def slowly(self: Users, user_id: UserId) -> None:
        await check_not_locked(self, user_id)
        monkeypatch.setattr(Users, "check_not_locked", check_not_locked)
        await other.accounts.deactivate(GHOST)

    monkeypatch.setattr(Users, "check_not_locked", slowly)
    response = await _log_in_ghost(one)

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
    assert await _sessions(one, GHOST) == ([], [])


async def test_a_refresh_amid_a_logout_leaves_no_token(accounts: Both) -> None:
    for _ in range(_ROUNDS):
        one, other = accounts
        login = await _logged_in(one, refresh_token=True)
        body = {"refresh_token": login["refresh_token"]}

        await asyncio.gather(
            one.client.post("/v3/refresh", body),
            other.client.post("/v3/refresh", body),
            other.accounts.devices.log_out_all(ALICE),
        )
        assert await _sessions(one) == ([], [])


async def test_a_refresh_amid_the_deletion_of_its_device_leaves_no_token(
    accounts: Both,
) -> None:
    for _ in range(_ROUNDS):
        one, other = accounts
        login = await _logged_in(one, refresh_token=True)
        body = {"refresh_token": login["refresh_token"]}

        await asyncio.gather(
            one.client.post("/v3/refresh", body),
            other.accounts.devices.delete(ALICE, [DeviceId(login["device_id"])]),
        )
        assert await _sessions(one) == ([], [])


async def test_logins_amid_a_logout_of_all_keep_their_devices_or_nothing(
    accounts: Both,
) -> None:
    one, other = accounts
    await one.accounts.create_user("alice", PASSWORD)
    for _ in range(_ROUNDS):
        token = (await _logged_in(one))["access_token"]
        logout, *logins = await asyncio.gather(
            other.with_token(token).post("/v3/logout/all"),
            *(each.log_in("alice") for each in accounts for _ in range(_LOGINS)),
        )

        assert logout.status == 200
        assert {each.status for each in logins} == {200}
        devices, granted = await _sessions(one)
        assert devices == granted


async def test_of_two_logins_with_a_device_at_once_one_counts(accounts: Both) -> None:
    one, _ = accounts
    await one.accounts.create_user("alice", PASSWORD)
    for _ in range(_ROUNDS):
        await asyncio.gather(
            *(each.log_in("alice", device_id="PHONE") for each in accounts)
        )
        [(grants,)] = await one.database.all("SELECT COUNT(*) FROM sessions_grants")
        assert grants == 1


async def test_a_bridge_logs_in_its_bot_twice_at_once(accounts: Both) -> None:
    """Whichever makes the user: both log in."""
    await _add_bridge(accounts)

    responses = await asyncio.gather(*map(_log_in_ghost, accounts))

    assert [each.status for each in responses] == [200, 200]
    devices, granted = await _sessions(accounts[0], GHOST)
    assert devices == granted
    assert len(devices) == 2
