"""Accounts made, entered and rescued by an e-mail address."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import error_of
from tests.features.third_party.addresses import (
    EMAIL,
    SECRET,
    add,
    addresses_of,
    link_in,
    prove,
    request_token,
)
from tests.http_client import Client, HttpResponse
from tests.server import PASSWORD, Server, config_for, running_server
from tests.smtp_server import SmtpServer
from tremula.features.users.service import Passwords
from tremula.infra.config import EmailPolicy
from tremula.protocol.errors import LimitExceeded

ALICE = "@alice:test"
NEW_PASSWORD = "another horse"


def email_auth(creds: object) -> dict[str, object]:
    """The stage of the address."""
    return {"type": "m.login.email.identity", "threepid_creds": creds}


def refuse_to_hash(overload: pytest.MonkeyPatch) -> None:
    """As where too many passwords are being hashed."""

    async def refuse(_passwords: Passwords, _password: str) -> str:
        raise LimitExceeded("too many at once")

    overload.setattr(Passwords, "hash", refuse)


async def log_in(server: Server, password: str, **identifier: object) -> HttpResponse:
    body = {
        "type": "m.login.password",
        "identifier": identifier,
        "password": password,
    }
    return await server.anonymous.post("/v3/login", body)


async def test_a_new_user_has_the_address_that_was_proved(
    server: Server, smtp: SmtpServer
) -> None:
    creds = await prove(server.anonymous, smtp, "register")
    body = {"username": "new", "password": PASSWORD}

    challenge = await server.anonymous.post("/v3/register", body)
    assert {"stages": ["m.login.email.identity"]} in challenge.json["flows"]
    auth = {**email_auth(creds), "session": challenge.json["session"]}
    made = await server.anonymous.post("/v3/register", {**body, "auth": auth})

    assert made.status == 200, made.body
    new = Client(server.http, made.json["access_token"])
    assert await addresses_of(new) == [EMAIL]


async def test_an_address_may_be_required(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> None:
    config = config_for(database_source, tmp_path)
    registration = replace(config.registration, email=EmailPolicy.REQUIRED)
    config = replace(config, mail=smtp.settings(), registration=registration)
    async with running_server(config) as server:
        body: dict[str, object] = {"username": "new", "password": PASSWORD}
        challenge = await server.anonymous.post("/v3/register", body)
        dummy = {"type": "m.login.dummy", "session": challenge.json["session"]}
        refused = await server.anonymous.post("/v3/register", {**body, "auth": dummy})
        sid = (await request_token(server.anonymous, "register")).json["sid"]
        auth = email_auth({"sid": sid, "client_secret": SECRET})
        early = await server.anonymous.post("/v3/register", {**body, "auth": auth})
        await server.anonymous.post(link_in(await smtp.take()), body=b"")
        made = await server.anonymous.post("/v3/register", {**body, "auth": auth})

    assert challenge.json["flows"] == [{"stages": ["m.login.email.identity"]}]
    assert (refused.status, early.status) == (401, 401)
    assert early.json["errcode"] == "M_FORBIDDEN"
    assert made.status == 200


async def test_one_proof_makes_one_account(server: Server, smtp: SmtpServer) -> None:
    creds = await prove(server.anonymous, smtp, "register")
    body = {"password": PASSWORD, "auth": email_auth(creds)}

    first = await server.anonymous.post("/v3/register", {**body, "username": "one"})
    again = await server.anonymous.post("/v3/register", {**body, "username": "two"})

    assert (first.status, again.status) == (200, 401)


async def test_one_proof_makes_one_account_of_two_at_once(
    server: Server, smtp: SmtpServer
) -> None:
    creds = await prove(server.anonymous, smtp, "register")
    body = {"password": PASSWORD, "auth": email_auth(creds)}

    answers = await asyncio.gather(
        *(
            server.anonymous.post("/v3/register", {**body, "username": name})
            for name in ("one", "two")
        )
    )

    assert sorted(each.status for each in answers) in ([200, 400], [200, 401])
    [(users,)] = await server.db.all("SELECT COUNT(*) FROM users")
    assert users == 1


async def test_a_proof_lasts_until_the_account_is_made(
    server: Server, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    creds = await prove(server.anonymous, smtp, "register")
    body: dict[str, object] = {"username": "new", "password": PASSWORD}
    challenge = await server.anonymous.post("/v3/register", body)
    body["auth"] = {**email_auth(creds), "session": challenge.json["session"]}

    with monkeypatch.context() as overload:
        refuse_to_hash(overload)
        overloaded = await server.anonymous.post("/v3/register", body)
    made = await server.anonymous.post("/v3/register", body)

    assert error_of(overloaded) == (429, "M_LIMIT_EXCEEDED")
    assert made.status == 200, made.body


async def test_a_proof_lasts_until_the_password_is_replaced(
    server: Server, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(server.client(ALICE), smtp)
    creds = await prove(server.anonymous, smtp, "account/password")
    body = {"new_password": NEW_PASSWORD, "auth": email_auth(creds)}

    with monkeypatch.context() as overload:
        refuse_to_hash(overload)
        overloaded = await server.anonymous.post("/v3/account/password", body)
    changed = await server.anonymous.post("/v3/account/password", body)

    assert error_of(overloaded) == (429, "M_LIMIT_EXCEEDED")
    assert changed.status == 200, changed.body


async def test_a_forgotten_password_is_replaced(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    await add(alice, smtp)
    creds = await prove(server.anonymous, smtp, "account/password")
    body = {"new_password": NEW_PASSWORD, "auth": email_auth(creds)}

    response = await server.anonymous.post("/v3/account/password", body)
    again = await server.anonymous.post("/v3/account/password", body)

    assert (response.status, again.status) == (200, 401)
    user = {"type": "m.id.user", "user": ALICE}
    assert (await log_in(server, PASSWORD, **user)).status == 403
    assert (await log_in(server, NEW_PASSWORD, **user)).status == 200
    assert (await alice.get("/v3/account/whoami")).status == 401


async def test_clients_ask_until_the_link_is_followed(
    server: Server, smtp: SmtpServer
) -> None:
    await add(server.client(ALICE), smtp)
    response = await request_token(server.anonymous, "account/password")
    creds = {"sid": response.json["sid"], "client_secret": SECRET}
    body = {"new_password": NEW_PASSWORD, "auth": email_auth(creds)}

    for _ in range(3):
        early = await server.anonymous.post("/v3/account/password", body)
        assert early.status == 401
        assert {"stages": ["m.login.email.identity"]} in early.json["flows"]
    await server.anonymous.post(link_in(await smtp.take()), body=b"")

    done = await server.anonymous.post("/v3/account/password", body)
    assert (done.status, done.json) == (200, {})


@pytest.mark.parametrize("purpose", ["register", "account/3pid"])
async def test_what_was_proved_for_something_else_sets_no_password(
    server: Server, smtp: SmtpServer, purpose: str
) -> None:
    creds = await prove(server.anonymous, smtp, purpose)
    await add(server.client(ALICE), smtp)
    body = {"new_password": NEW_PASSWORD, "auth": email_auth(creds)}

    assert (await server.anonymous.post("/v3/account/password", body)).status == 401


async def test_an_address_is_no_password_for_who_is_logged_in(
    server: Server, smtp: SmtpServer
) -> None:
    """A stolen access token and a stolen mailbox are two things."""
    alice = server.client(ALICE)
    await add(alice, smtp)
    creds = await prove(server.anonymous, smtp, "account/password")
    body = {"new_password": NEW_PASSWORD, "auth": email_auth(creds)}

    response = await alice.post("/v3/account/password", body)
    closed = await server.anonymous.post(
        "/v3/account/deactivate", {"auth": email_auth(creds)}
    )

    assert response.json["flows"] == [{"stages": ["m.login.password"]}]
    assert (response.status, closed.status) == (401, 401)


async def test_an_address_stands_for_its_user(server: Server, smtp: SmtpServer) -> None:
    await add(server.client(ALICE), smtp)
    known = {
        "type": "m.id.thirdparty",
        "medium": "email",
        "address": "Alice@EXAMPLE.org",
    }

    entered = await log_in(server, PASSWORD, **known)
    older = await server.anonymous.post(
        "/v3/login",
        {
            "type": "m.login.password",
            "medium": "email",
            "address": EMAIL,
            "password": PASSWORD,
        },
    )

    assert entered.json["user_id"] == older.json["user_id"] == ALICE
    for identifier in (
        {**known, "address": "other@example.org"},
        {**known, "address": "nobody"},
        {**known, "address": 7},
    ):
        refused = await log_in(server, PASSWORD, **identifier)
        assert error_of(refused) == (403, "M_FORBIDDEN")
    assert error_of(await log_in(server, "guess", **known)) == (403, "M_FORBIDDEN")
    phone = await log_in(server, PASSWORD, **{**known, "medium": "msisdn"})
    assert error_of(phone) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    "creds",
    [None, [], "x", {}, {"sid": "x"}, {"sid": 7, "client_secret": "x"}],
)
async def test_malformed_proofs_are_refused(server: Server, creds: object) -> None:
    body = {"new_password": NEW_PASSWORD, "auth": email_auth(creds)}

    response = await server.anonymous.post("/v3/account/password", body)

    assert error_of(response) == (400, "M_BAD_JSON")
