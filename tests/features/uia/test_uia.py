"""CS "User-Interactive Authentication API", on deleteDevice and its like."""

import asyncio
from typing import Any

import pytest

from tests.backends import table_of_refusals
from tests.features.accounts import PASSWORD, AccountsServer, Policy, start_accounts
from tests.http_client import Client, HttpResponse
from tremula.features.uia.service import (
    PASSWORD_FLOWS,
    Attempt,
    Authenticated,
    Stage,
    Uia,
    UiaRequired,
    digest_of,
)
from tremula.infra.config import RateLimits
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import UserId

FLOWS = [{"stages": ["m.login.password"]}]
TWO_STAGES = ((Stage.DUMMY, Stage.PASSWORD),)


def password(session: str | None = None, **fields: object) -> dict[str, Any]:
    auth: dict[str, Any] = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
    }
    if session is not None:
        auth["session"] = session
    return {**auth, **fields}


async def delete_devices(
    client: Client, devices: list[str], auth: object = None
) -> HttpResponse:
    body: dict[str, object] = {"devices": devices}
    if auth is not None:
        body["auth"] = auth
    return await client.post("/v3/delete_devices", body)


async def open_session(client: Client, devices: list[str]) -> str:
    session: str = (await delete_devices(client, devices)).json["session"]
    return session


async def test_a_request_without_auth_is_told_the_flows(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")

    response = await delete_devices(alice, ["X"])

    assert response.status == 401
    session = response.json["session"]
    assert response.json == {
        "flows": FLOWS,
        "params": {},
        "session": session,
        "completed": [],
    }
    done = await delete_devices(alice, ["X"], password(session))
    assert (done.status, done.json) == (200, {})


async def test_a_stage_may_be_completed_with_the_first_request(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")

    assert (await delete_devices(alice, ["X"], password())).status == 200


async def test_a_wrong_password_may_be_tried_again_in_the_same_session(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    session = await open_session(alice, ["X"])

    failed = await delete_devices(alice, ["X"], password(session, password="wrong"))

    assert failed.status == 401
    assert failed.json == {
        "errcode": "M_FORBIDDEN",
        "error": "invalid username or password",
        "flows": FLOWS,
        "params": {},
        "session": session,
        "completed": [],
    }
    assert (await delete_devices(alice, ["X"], password(session))).status == 200


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"a": 1},
        {"type": "m.login.dummy"},
        {"type": "m.login.registration_token", "token": "x"},
        {"type": "m.login.sso"},
        {"type": ""},
        {"session": "x"},
        {"session": ""},
        {"session": "x" * 10_000},
        {"type": "m.login.password", "session": "unknown", "password": PASSWORD},
        {"type": "m.login.dummy", "session": "unknown"},
        {"type": None, "session": None},
    ],
)
async def test_an_object_that_proves_nothing_is_refused(
    accounts: AccountsServer, auth: object
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")

    response = await delete_devices(alice, ["PHONE"], auth)

    assert response.status == 401
    assert response.json["flows"] == FLOWS
    assert response.json["completed"] == []
    assert (await alice.get("/v3/devices/PHONE")).status == 200


@table_of_refusals
@pytest.mark.parametrize(
    "auth",
    [
        [],
        "m.login.password",
        7,
        True,
        {"type": 7},
        {"type": ["m.login.password"]},
        {"session": 7},
        {"session": {}},
        {"type": "m.login.password"},
        {"type": "m.login.password", "identifier": []},
        {"type": "m.login.password", "user": "alice"},
        password(password=None),
        password(password={"$ne": 1}),
        password(password="x" * 513),
        password(identifier={"type": "m.id.user", "user": 7}),
    ],
)
async def test_a_malformed_auth_is_a_client_error(
    accounts: AccountsServer, auth: object
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")

    response = await delete_devices(alice, ["PHONE"], auth)

    assert response.status == 400
    assert (await alice.get("/v3/devices/PHONE")).status == 200


async def test_another_user_cannot_complete_the_stage(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    await accounts.register("mallory", password="mallory's own")

    response = await delete_devices(
        alice,
        ["X"],
        password(
            identifier={"type": "m.id.user", "user": "mallory"},
            password="mallory's own",
        ),
    )

    assert response.status == 401
    assert response.json["error"] == "invalid username or password"


async def test_a_session_of_another_user_is_refused(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    mallory = await accounts.user("mallory")
    session = await open_session(mallory, ["X"])

    response = await delete_devices(alice, ["X"], password(session))

    assert response.status == 401
    assert response.json["session"] != session


async def test_a_session_of_another_endpoint_is_refused(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    session = (await alice.delete("/v3/devices/X")).json["session"]

    response = await delete_devices(alice, ["X"], password(session))

    assert response.status == 401
    assert response.json["session"] != session


async def test_a_session_of_another_request_is_refused(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    session = await open_session(alice, ["X"])

    response = await delete_devices(alice, ["PHONE"], password(session))

    assert response.status == 401
    assert (await alice.get("/v3/devices/PHONE")).status == 200


async def test_a_session_completes_once(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    session = await open_session(alice, ["X"])

    responses = await asyncio.gather(
        *(delete_devices(alice, ["X"], password(session)) for _ in range(4))
    )

    assert sorted(each.status for each in responses) == [200, 401, 401, 401]


async def test_a_session_lasts_until_what_it_permits_is_done(
    accounts: AccountsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await accounts.user("alice")
    session = await open_session(alice, ["X"])

    async def unavailable(_uia: Uia, _proof: Authenticated | None) -> JournalUnit:
        raise DatabaseUnavailable("not now")

    with monkeypatch.context() as outage:
        outage.setattr(Uia, "unit_by", unavailable)
        failed = await delete_devices(alice, ["X"], password(session))
    done = await delete_devices(alice, ["X"], password(session))

    assert (failed.status, done.status) == (503, 200)


async def test_a_session_expires(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    session = await open_session(alice, ["X"])
    accounts.clock.advance_ms(30 * 60 * 1000)

    response = await delete_devices(alice, ["X"], password(session))
    await accounts.uia.sweep()

    assert response.status == 401
    rows = await accounts.database.all("SELECT expires_ts_ms FROM uia_sessions")
    # The expired one is gone; the refusal has opened another.
    assert len(rows) == 1


async def test_a_session_survives_a_restart(accounts: AccountsServer) -> None:
    session = await open_session(await accounts.user("alice"), ["X"])
    restarted = await start_accounts(accounts.database, Policy(), accounts.clock)
    login = await restarted.log_in("alice")
    alice = restarted.with_token(login.json["access_token"])

    response = await delete_devices(alice, ["X"], password(session))
    restarted.users.passwords.close()

    assert response.status == 200


async def test_neither_session_nor_password_is_stored(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    body = {"new_password": "new password"}
    session = (await alice.post("/v3/account/password", body)).json["session"]

    [(session_hash, mac)] = await accounts.database.all(
        "SELECT session_hash, request_mac FROM uia_sessions"
    )

    assert session.encode() not in session_hash
    # Not a plain hash of the request, from which a weak password could be guessed.
    assert mac != digest_of({"new_password": "new password", "logout_devices": True})


async def test_stages_are_completed_in_the_order_of_a_flow(
    accounts: AccountsServer,
) -> None:
    await accounts.register("alice")
    alice = accounts.users.id_of("alice")
    digest = digest_of({})

    async def attempt(auth: object) -> UiaRequired:
        with pytest.raises(UiaRequired) as refused:
            await accounts.uia.require(alice, "op", auth, digest, flows=TWO_STAGES)
        return refused.value

    session = (await attempt(None)).body()["session"]
    assert (await attempt(password(session))).body()["errcode"] == "M_FORBIDDEN"
    dummy = {"type": "m.login.dummy", "session": session}
    assert (await attempt(dummy)).body()["completed"] == ["m.login.dummy"]
    # "Completed stages cannot be retried": the answer says how far it is.
    retried = (await attempt(dummy)).body()
    assert retried["completed"] == ["m.login.dummy"]
    assert "errcode" not in retried
    assert (await attempt({"session": session})).body()["session"] == session

    proof = await accounts.uia.require(
        alice, "op", password(session), digest, flows=TWO_STAGES
    )
    assert list(proof.completed) == ["m.login.dummy", "m.login.password"]


async def test_stages_that_are_completed_at_once_count_both(
    accounts: AccountsServer,
) -> None:
    begun: list[Attempt] = []
    are_both_begun = asyncio.Event()

    async def check_slowly(_user_id: UserId | None, attempt: Attempt) -> None:
        begun.append(attempt)
        if len(begun) == 2:
            are_both_begun.set()
        await are_both_begun.wait()

    stages = {Stage.DUMMY: check_slowly, Stage.TERMS: check_slowly}
    uia = Uia(accounts.database, accounts.journal, accounts.clock, stages, {})
    flows = ((Stage.DUMMY, Stage.TERMS), (Stage.TERMS, Stage.DUMMY))

    async def attempt(auth: object) -> UiaRequired | Authenticated:
        try:
            return await uia.require(None, "op", auth, digest_of({}), flows=flows)
        except UiaRequired as refused:
            return refused

    challenge = await attempt(None)
    assert isinstance(challenge, UiaRequired)
    session = challenge.body()["session"]
    answers = await asyncio.gather(
        *(attempt({"type": each.value, "session": session}) for each in stages)
    )

    [proof] = [each for each in answers if isinstance(each, Authenticated)]
    assert proof.completed.keys() == set(stages)


async def test_a_completed_session_needs_no_more_proof_but_only_once(
    accounts: AccountsServer,
) -> None:
    """A flow that ends outside of the request is closed by the session alone."""
    await accounts.register("alice")
    alice = accounts.users.id_of("alice")
    digest = digest_of({})
    with pytest.raises(UiaRequired) as refused:
        await accounts.uia.require(
            alice, "op", {"type": "m.login.dummy"}, digest, flows=TWO_STAGES
        )
    session = {"session": refused.value.body()["session"]}
    flows = ((Stage.DUMMY,),)

    proof = await accounts.uia.require(alice, "op", session, digest, flows=flows)
    await accounts.journal.commit(await accounts.uia.unit_by(proof))

    with pytest.raises(UiaRequired):
        await accounts.uia.require(alice, "op", session, digest, flows=flows)


@pytest.mark.parametrize("policy", [Policy(rate_limits=RateLimits())])
async def test_guesses_of_a_password_are_limited(accounts: AccountsServer) -> None:
    await accounts.register("alice")
    alice = accounts.users.id_of("alice")
    digest = digest_of({})

    for _ in range(10):
        with pytest.raises(UiaRequired):
            await accounts.uia.require(
                alice, "op", password(password="wrong"), digest, flows=PASSWORD_FLOWS
            )

    response = await delete_devices(
        accounts.with_token((await accounts.log_in("alice")).json["access_token"]),
        ["X"],
        password(),
    )
    assert (response.status, response.json["errcode"]) == (429, "M_LIMIT_EXCEEDED")
