"""CS refresh, soft logout, and what is kept of tokens."""

import pytest

from tests.fakes.requesting_client import FakeRequestingClient
from tests.features.accounts import AccountsServer, Policy
from tests.http_client import HttpResponse
from tremula.features.sessions import service
from tremula.features.users.service import User, Users
from tremula.infra.config import Tokens
from tremula.infra.db import Conflict
from tremula.protocol.errors import UnknownToken
from tremula.protocol.identifiers import DeviceId, UserId

HOUR_S = 3600
DAY_MS = 24 * HOUR_S * 1000
NOBODY = FakeRequestingClient()


async def refresh(accounts: AccountsServer, token: str) -> HttpResponse:
    return await accounts.client.post("/v3/refresh", {"refresh_token": token})


async def whoami(accounts: AccountsServer, token: str) -> HttpResponse:
    return await accounts.with_token(token).get("/v3/account/whoami")


async def test_clients_that_do_not_refresh_get_a_lasting_token(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice")

    assert "refresh_token" not in answer
    assert "expires_in_ms" not in answer
    accounts.clock.advance_ms(1000 * DAY_MS)
    assert (await whoami(accounts, answer["access_token"])).status == 200


async def test_an_expired_token_is_a_soft_logout_until_it_is_refreshed(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice", refresh_token=True)
    assert answer["expires_in_ms"] == HOUR_S * 1000
    assert (await whoami(accounts, answer["access_token"])).status == 200

    accounts.clock.advance_ms(HOUR_S * 1000)

    expired = await whoami(accounts, answer["access_token"])
    assert expired.status == 401
    assert expired.json["errcode"] == "M_UNKNOWN_TOKEN"
    assert expired.json["soft_logout"] is True
    fresh = (await refresh(accounts, answer["refresh_token"])).json
    assert (await whoami(accounts, fresh["access_token"])).json["device_id"] == (
        answer["device_id"]
    )


async def test_the_old_refresh_token_lasts_until_the_new_access_token_is_used(
    accounts: AccountsServer,
) -> None:
    first = (await accounts.register("alice", refresh_token=True))["refresh_token"]
    lost = (await refresh(accounts, first)).json
    kept = (await refresh(accounts, first)).json
    assert (await whoami(accounts, lost["access_token"])).status == 401
    assert (await refresh(accounts, lost["refresh_token"])).status == 401

    assert (await whoami(accounts, kept["access_token"])).status == 200

    assert (await refresh(accounts, first)).json["errcode"] == "M_UNKNOWN_TOKEN"
    assert (await refresh(accounts, kept["refresh_token"])).status == 200


async def test_the_old_refresh_token_lasts_until_the_new_refresh_token_is_used(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice", refresh_token=True)
    second = (await refresh(accounts, answer["refresh_token"])).json

    third = await refresh(accounts, second["refresh_token"])

    assert third.status == 200
    assert (await refresh(accounts, answer["refresh_token"])).status == 401
    assert (await whoami(accounts, answer["access_token"])).status == 401
    assert (await whoami(accounts, third.json["access_token"])).status == 200
    assert (await refresh(accounts, second["refresh_token"])).status == 401


async def test_a_used_access_token_outlives_the_next_refresh_but_not_its_use(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice", refresh_token=True)
    assert (await whoami(accounts, answer["access_token"])).status == 200
    second = (await refresh(accounts, answer["refresh_token"])).json
    assert (await whoami(accounts, answer["access_token"])).status == 200

    assert (await whoami(accounts, second["access_token"])).status == 200

    assert (await whoami(accounts, answer["access_token"])).status == 401


@pytest.mark.parametrize(
    "policy", [Policy(lifetimes=Tokens(refresh_lifetime_s=HOUR_S))]
)
async def test_an_expired_refresh_token_is_a_soft_logout(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice", refresh_token=True)
    accounts.clock.advance_ms(HOUR_S * 1000)

    response = await refresh(accounts, answer["refresh_token"])

    assert response.status == 401
    assert response.json["soft_logout"] is True


async def test_refresh_tokens_end_with_the_device(accounts: AccountsServer) -> None:
    answer = await accounts.register("alice", refresh_token=True)
    await accounts.with_token(answer["access_token"]).post("/v3/logout", {})

    response = await refresh(accounts, answer["refresh_token"])

    assert (response.status, response.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")


async def test_an_access_token_does_not_refresh_nor_a_refresh_token_authorise(
    accounts: AccountsServer,
) -> None:
    answer = await accounts.register("alice", refresh_token=True)

    assert (await refresh(accounts, answer["access_token"])).status == 401
    assert (await whoami(accounts, answer["refresh_token"])).status == 401


@pytest.mark.parametrize(
    ("body", "errcode"),
    [({}, "M_MISSING_PARAM"), ({"refresh_token": 1}, "M_BAD_JSON")],
)
async def test_a_malformed_refresh_is_refused(
    accounts: AccountsServer, body: object, errcode: str
) -> None:
    response = await accounts.client.post("/v3/refresh", body)

    assert (response.status, response.json["errcode"]) == (400, errcode)


async def test_tokens_are_stored_only_as_hashes(accounts: AccountsServer) -> None:
    answer = await accounts.register("alice", refresh_token=True)

    rows = await accounts.database.all(
        "SELECT access_hash, refresh_hash FROM sessions_grants"
    )

    [(access_hash, refresh_hash)] = rows
    assert answer["access_token"].startswith("trm_")
    assert len(access_hash) == len(refresh_hash) == 32
    assert answer["access_token"].encode() not in access_hash


async def test_a_token_in_use_is_recognised_without_a_query(
    accounts: AccountsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts.register("alice")
    token = (await accounts.log_in("alice")).json["access_token"]
    await accounts.sessions.authenticate(token, NOBODY)
    refuse_queries(monkeypatch)

    requester = await accounts.sessions.authenticate(token, NOBODY)
    assert requester.user_id == "@alice:test"


async def test_a_token_in_use_is_not_hashed_again(
    accounts: AccountsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would cost as much as all else that a request asks of it."""
    await accounts.register("alice")
    token = (await accounts.log_in("alice")).json["access_token"]
    await accounts.sessions.authenticate(token, NOBODY)
    monkeypatch.setattr(service, "_hash", None)

    requester = accounts.sessions.recall(token, NOBODY)
    assert requester is not None
    assert requester.user_id == "@alice:test"


async def test_a_new_users_token_is_recognised_without_a_query(
    accounts: AccountsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await accounts.register("alice", device_id="PHONE")
    refuse_queries(monkeypatch)

    requester = await accounts.sessions.authenticate(answer["access_token"], NOBODY)

    assert requester.user_id == "@alice:test"
    assert requester.device_id == "PHONE"
    assert not requester.is_guest


async def test_a_new_users_token_that_was_never_used_can_be_revoked(
    accounts: AccountsServer,
) -> None:
    token = (await accounts.register("alice", device_id="PHONE"))["access_token"]
    unit = accounts.journal.unit()
    accounts.sessions.revoke_user(unit, accounts.users.id_of("alice"))
    await accounts.journal.commit(unit)

    with pytest.raises(UnknownToken):
        await accounts.sessions.authenticate(token, NOBODY)


async def test_nothing_is_remembered_of_a_user_who_could_not_be_made(
    accounts: AccountsServer,
) -> None:
    sessions = accounts.sessions
    user = await accounts.accounts.new_user(accounts.users.id_of("alice"), "secret")
    unit = accounts.journal.unit()
    tokens = sessions.issue(
        unit, user.user_id, DeviceId("PHONE"), refreshable=False, new_user=user
    )
    for _ in range(2):
        accounts.users.add(unit, user)
    with pytest.raises(Conflict):
        await accounts.journal.commit(unit)

    with pytest.raises(UnknownToken):
        await sessions.authenticate(tokens.access_token, NOBODY)


def refuse_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a query")

    monkeypatch.setattr("tremula.features.sessions.storage.grant_by_access", refuse)


async def test_a_new_administrator_is_one_at_once(accounts: AccountsServer) -> None:
    token = (await accounts.register("alice"))["access_token"]
    user_id = accounts.users.id_of("alice")
    before = await accounts.sessions.authenticate(token, NOBODY)

    await accounts.accounts.set_admin(user_id, is_admin=True)

    after = await accounts.sessions.authenticate(token, NOBODY)
    assert (before.is_admin, after.is_admin) == (False, True)


async def test_a_token_that_is_revoked_while_it_is_read_is_not_kept(
    accounts: AccountsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts.register("alice")
    token = (await accounts.log_in("alice")).json["access_token"]
    find_user = Users.find

    async def find_user_slowly(users: Users, user_id: UserId) -> User | None:
        monkeypatch.setattr(Users, "find", find_user)
        await accounts.accounts.devices.log_out_all(user_id)
        return await find_user(users, user_id)

    monkeypatch.setattr(Users, "find", find_user_slowly)

    assert (await whoami(accounts, token)).status == 401
    assert (await whoami(accounts, token)).status == 401


async def test_whoever_made_a_request_is_current_until_something_changes(
    accounts: AccountsServer,
) -> None:
    """So that a long poll, which tells its client of a change, need not read again."""
    token = (await accounts.register("alice", refresh_token=True))["access_token"]
    sessions, user_id = accounts.sessions, accounts.users.id_of("alice")
    before = await sessions.authenticate(token, NOBODY)
    assert sessions.is_current(before)

    await accounts.accounts.set_admin(user_id, is_admin=True)
    assert not sessions.is_current(before)
    after = await sessions.authenticate(token, NOBODY)
    assert sessions.is_current(after)
    assert not sessions.is_current(before)

    accounts.clock.advance_ms(HOUR_S * 1000)
    assert not sessions.is_current(after)
