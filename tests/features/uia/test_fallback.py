"""CS "Fallback": stages that are completed in a browser."""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.accounts import OPEN, PASSWORD, AccountsServer, Policy
from tests.http_client import Client, HttpResponse
from tests.server import config_for, running_server
from tremula.features.uia.service import LIFETIME_MS
from tremula.infra.config import PolicyDocument, RateLimits, RegistrationMode

WITH_TOKEN = Policy(registration=replace(OPEN, mode=RegistrationMode.TOKEN))
LIMITED = Policy(registration=WITH_TOKEN.registration, rate_limits=RateLimits())
TOKEN = "m.login.registration_token"
DUMMY = "m.login.dummy"
TERMS = "m.login.terms"
OWN_PASSWORD = "m.login.password"
SCRIPT = """
if (window.onAuthDone) {
    window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
    window.opener.postMessage("authDone", "*");
}
"""


def address(stage: str, version: str = "v3") -> str:
    return f"/_matrix/client/{version}/auth/{stage}/fallback/web"


async def show(client: Client, stage: str, session: str) -> HttpResponse:
    return await client.get(address(stage), query={"session": session})


async def press(
    client: Client, stage: str, session: str, fields: Mapping[str, str] | None = None
) -> HttpResponse:
    return await client.post(
        address(stage),
        body=urlencode(fields or {}).encode(),
        headers={"content-type": "application/x-www-form-urlencoded"},
        query={"session": session},
    )


async def register(client: Client, session: str | None = None) -> HttpResponse:
    body: dict[str, object] = {"username": "alice", "password": PASSWORD}
    if session is not None:
        body["auth"] = {"session": session}
    return await client.post("/v3/register", body)


async def begin(client: Client) -> str:
    session: str = (await register(client)).json["session"]
    return session


async def begin_deletion(alice: Client, device_id: str = "X") -> str:
    response = await alice.post("/v3/delete_devices", {"devices": [device_id]})
    session: str = response.json["session"]
    return session


async def delete(alice: Client, session: str, device_id: str = "X") -> HttpResponse:
    body = {"devices": [device_id], "auth": {"session": session}}
    return await alice.post("/v3/delete_devices", body)


def is_done(response: HttpResponse) -> bool:
    return response.status == 200 and b"<script>" in response.body


@pytest.mark.parametrize("policy", [WITH_TOKEN])
async def test_a_registration_token_is_given_in_a_browser(
    accounts: AccountsServer,
) -> None:
    await accounts.tokens.create("sesame", uses_allowed=1)
    session = await begin(accounts.client)

    shown = await show(accounts.client, TOKEN, session)
    done = await press(accounts.client, TOKEN, session, {"token": " sesame "})
    made = await register(accounts.client, session)

    assert shown.status == 200
    assert b'name="token"' in shown.body
    assert is_done(done)
    assert (made.status, made.json["user_id"]) == (200, "@alice:test")
    # The use of the token is counted, as of one that came with the request.
    assert not await accounts.tokens.is_valid("sesame")


@pytest.mark.parametrize("policy", [WITH_TOKEN])
@pytest.mark.parametrize("fields", [{"token": "wrong"}, {"token": ""}, {}, {"x": "y"}])
async def test_a_wrong_token_is_told_and_completes_nothing(
    accounts: AccountsServer, fields: Mapping[str, str]
) -> None:
    await accounts.tokens.create("sesame")
    session = await begin(accounts.client)

    response = await press(accounts.client, TOKEN, session, fields)

    assert response.status == 403
    assert b"This token is not valid" in response.body
    assert b"<script>" not in response.body
    refused = await register(accounts.client, session)
    assert (refused.status, refused.json["completed"]) == (401, [])
    assert is_done(await press(accounts.client, TOKEN, session, {"token": "sesame"}))


@pytest.mark.parametrize("policy", [LIMITED])
async def test_guesses_of_tokens_are_limited(accounts: AccountsServer) -> None:
    session = await begin(accounts.client)

    statuses = [
        (await press(accounts.client, TOKEN, session, {"token": str(each)})).status
        for each in range(12)
    ]

    assert statuses[0] == 403
    assert statuses[-1] == 429


async def test_looking_at_a_page_completes_nothing(accounts: AccountsServer) -> None:
    session = await begin(accounts.client)

    for method in ("GET", "HEAD"):
        response = await accounts.client.request(
            method, address(DUMMY), query={"session": session}
        )
        assert response.status == 200
        assert b"<script>" not in response.body

    assert (await register(accounts.client, session)).json["completed"] == []


@pytest.mark.parametrize("version", ["v3", "r0"])
async def test_a_button_is_enough_for_the_dummy(
    accounts: AccountsServer, version: str
) -> None:
    session = await begin(accounts.client)

    query = {"session": session}
    done = await accounts.client.post(address(DUMMY, version), query=query)

    assert is_done(done)
    # A page that is loaded again tells the client again.
    assert is_done(await show(accounts.client, DUMMY, session))
    assert is_done(await press(accounts.client, DUMMY, session))
    assert (await register(accounts.client, session)).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_a_page_has_no_other_methods(
    accounts: AccountsServer, method: str
) -> None:
    response = await accounts.client.request(method, address(DUMMY))

    assert response.status == 405


async def test_terms_are_linked_and_accepted(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = config_for(database_source, tmp_path)
    document = PolicyDocument(
        id="terms",
        version="1",
        name="Terms <b>& more",
        url='https://example.org/terms?a="><script>&b=1',
    )
    terms = replace(config.registration, terms=(document,))
    async with running_server(replace(config, registration=terms)) as server:
        client = server.anonymous
        session = await begin(client)

        shown = await show(client, TERMS, session)
        not_asked = await press(client, DUMMY, session)
        done = await press(client, TERMS, session)
        made = await register(client, session)

    assert b"Terms &lt;b&gt;&amp; more</a>" in shown.body
    assert b"terms?a=&quot;&gt;&lt;script&gt;&amp;b=1" in shown.body
    assert b"<script>" not in shown.body
    assert not_asked.status == 403
    assert is_done(done)
    assert made.status == 200


async def test_the_own_password_is_asked_for_with_what_it_permits(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    session = await begin_deletion(alice)

    shown = await show(accounts.client, OWN_PASSWORD, session)
    wrong = await press(accounts.client, OWN_PASSWORD, session, {"password": "wrong"})
    early = await delete(alice, session)
    done = await press(accounts.client, OWN_PASSWORD, session, {"password": PASSWORD})

    assert b"@alice:test" in shown.body
    assert b"log out devices" in shown.body
    assert wrong.status == 403
    assert b"This is not the password of the account." in wrong.body
    assert early.status == 401
    assert is_done(done)
    assert (await delete(alice, session)).status == 200
    # It counted once.
    assert (await delete(alice, session)).status == 401
    assert (await show(accounts.client, OWN_PASSWORD, session)).status == 400


async def test_a_password_given_in_a_browser_is_for_one_request_of_one_user(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice", device_id="PHONE")
    mallory = await accounts.user("mallory")
    session = await begin_deletion(alice)
    given = await press(accounts.client, OWN_PASSWORD, session, {"password": PASSWORD})

    assert is_done(given)
    assert (await delete(alice, session, "PHONE")).status == 401
    assert (await delete(mallory, session)).status == 401
    auth = {"session": session}
    other = await alice.post("/v3/account/deactivate", {"auth": auth})
    assert other.status == 401
    assert (await delete(alice, session)).status == 200


async def test_a_password_changed_since_permits_nothing(
    accounts: AccountsServer,
) -> None:
    alice = await accounts.user("alice")
    session = await begin_deletion(alice)
    await press(accounts.client, OWN_PASSWORD, session, {"password": PASSWORD})
    user_id = accounts.users.id_of("alice")
    await accounts.accounts.set_password(user_id, "another one", logs_out=False)

    refused = await delete(alice, session)

    assert (refused.status, refused.json["errcode"]) == (401, "M_FORBIDDEN")
    assert refused.json["session"] != session


async def test_a_locked_user_is_told_so(accounts: AccountsServer) -> None:
    alice = await accounts.user("alice")
    session = await begin_deletion(alice)
    unit = accounts.journal.unit()
    accounts.users.set_is_locked(unit, accounts.users.id_of("alice"), is_locked=True)
    await accounts.journal.commit(unit)

    response = await press(
        accounts.client, OWN_PASSWORD, session, {"password": PASSWORD}
    )

    assert response.status == 403
    assert b"locked" in response.body


async def test_a_password_too_long_is_refused_in_words(
    accounts: AccountsServer,
) -> None:
    session = await begin_deletion(await accounts.user("alice"))

    response = await press(
        accounts.client, OWN_PASSWORD, session, {"password": "x" * 600}
    )

    assert response.status == 400
    assert b"That did not work" in response.body
    assert b"xxx" not in response.body


async def test_nobody_is_asked_for_a_password_by_who_is_not_logged_in(
    accounts: AccountsServer,
) -> None:
    """They could have others confirm a change of the others' passwords."""
    await accounts.user("alice")
    body = {"new_password": "of mallory"}
    challenge = await accounts.client.post("/v3/account/password", body)
    session = challenge.json["session"]

    assert (await show(accounts.client, OWN_PASSWORD, session)).status == 404
    pressed = await press(
        accounts.client, OWN_PASSWORD, session, {"password": PASSWORD}
    )
    assert pressed.status == 404


async def test_an_expired_session_is_told(accounts: AccountsServer) -> None:
    session = await begin(accounts.client)
    accounts.clock.advance_ms(LIFETIME_MS)

    for response in (
        await show(accounts.client, DUMMY, session),
        await press(accounts.client, DUMMY, session),
        await accounts.client.get(address(DUMMY)),
    ):
        assert response.status == 400
        assert b"This page does not work any more" in response.body


@pytest.mark.parametrize(
    "stage", ["m.login.recaptcha", "m.login.email.identity", "<script>alert(1)"]
)
async def test_a_stage_without_a_page_is_told(
    accounts: AccountsServer, stage: str
) -> None:
    session = await begin(accounts.client)

    response = await show(accounts.client, stage, session)

    assert response.status == 404
    assert b"This server has no page for this." in response.body
    assert stage.encode() not in response.body


@pytest.mark.parametrize("stage", [TOKEN, OWN_PASSWORD, TERMS])
async def test_a_stage_of_no_flow_of_the_session_is_refused(
    accounts: AccountsServer, stage: str
) -> None:
    await accounts.tokens.create("sesame")
    session = await begin(accounts.client)
    fields = {"token": "sesame", "password": PASSWORD}

    response = await press(accounts.client, stage, session, fields)

    assert response.status in {403, 404}
    assert (await register(accounts.client, session)).json["completed"] == []


async def test_nothing_of_the_address_is_on_the_page(accounts: AccountsServer) -> None:
    session = await begin(accounts.client)
    hostile = "\"><script>alert('x')</script>"

    shown = await show(accounts.client, DUMMY, session)
    done = await press(accounts.client, DUMMY, session, {hostile: hostile})
    unknown = await show(accounts.client, DUMMY, hostile)

    assert session.encode() not in shown.body + done.body
    assert b"alert(" not in unknown.body + done.body


async def test_only_the_script_of_the_specification_runs(
    accounts: AccountsServer,
) -> None:
    session = await begin(accounts.client)

    shown = await show(accounts.client, DUMMY, session)
    done = await press(accounts.client, DUMMY, session)

    [script] = re.findall(b"<script>(.*?)</script>", done.body, re.DOTALL)
    assert script.decode() == SCRIPT
    digest = b64encode(sha256(script).digest()).decode()
    policy = done.headers["content-security-policy"]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "script-src" not in shown.headers["content-security-policy"]
    for response in (shown, done):
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in policy
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_form_that_is_too_long_is_refused(accounts: AccountsServer) -> None:
    session = await begin(accounts.client)

    response = await press(accounts.client, DUMMY, session, {"x": "y" * 9000})

    assert response.status == 413
    assert (await register(accounts.client, session)).json["completed"] == []


async def test_a_session_of_an_older_version_has_no_pages(
    accounts: AccountsServer,
) -> None:
    """It does not say which flows it was begun with."""
    session = await begin(accounts.client)
    unit = accounts.journal.unit()
    unit.run("UPDATE uia_sessions SET flows = NULL")
    await accounts.journal.commit(unit)

    assert (await press(accounts.client, DUMMY, session)).status == 403
    auth = {"type": DUMMY, "session": session}
    body = {"username": "alice", "password": PASSWORD, "auth": auth}
    assert (await accounts.client.post("/v3/register", body)).status == 200
