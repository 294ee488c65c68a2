"""E-mail addresses of accounts, over HTTP and SMTP."""

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import error_of, guest
from tests.features.third_party.addresses import (
    EMAIL,
    SECRET,
    add,
    addresses_of,
    link_in,
    password_auth,
    prove,
    request_token,
)
from tests.server import Server, config_for, running_server
from tests.smtp_server import SmtpServer
from tremula.features.third_party.validations import LIFETIME_MS
from tremula.infra.config import RateLimit, RateLimits, ThirdParty

ALICE, BOB = "@alice:test", "@bob:test"


async def test_an_address_is_added_once_it_is_proved(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    capabilities = (await alice.get("/v3/capabilities")).json["capabilities"]
    assert capabilities["m.3pid_changes"] == {"enabled": True}

    response = await add(alice, smtp)

    assert (response.status, response.json) == (200, {})
    [shown] = (await alice.get("/v3/account/3pid")).json["threepids"]
    assert (shown["medium"], shown["address"]) == ("email", EMAIL)
    assert shown["added_at"] >= shown["validated_at"] > 0


async def test_nothing_is_added_before_the_link_is_followed(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    sid = (await request_token(alice, "account/3pid")).json["sid"]
    body = {"sid": sid, "client_secret": SECRET, "auth": password_auth(alice)}
    link = link_in(await smtp.take())

    refused = await alice.post("/v3/account/3pid/add", body)
    assert error_of(refused) == (403, "M_THREEPID_AUTH_FAILED")
    # As programs do that look at links in mails.
    page = await server.anonymous.get(link)
    assert page.status == 200
    assert EMAIL.encode() in page.body
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    refused = await alice.post("/v3/account/3pid/add", body)
    assert error_of(refused) == (403, "M_THREEPID_AUTH_FAILED")

    assert (await server.anonymous.post(link, body=b"")).status == 200
    wrong = {**body, "client_secret": "another"}
    refused = await alice.post("/v3/account/3pid/add", wrong)
    assert error_of(refused) == (403, "M_THREEPID_AUTH_FAILED")
    assert (await alice.post("/v3/account/3pid/add", body)).status == 200


async def test_the_password_is_needed_to_add_an_address(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    creds = await prove(alice, smtp, "account/3pid")

    response = await alice.post("/v3/account/3pid/add", creds)

    assert response.status == 401
    assert response.json["flows"] == [{"stages": ["m.login.password"]}]
    auth = {**password_auth(alice), "session": response.json["session"]}
    done = await alice.post("/v3/account/3pid/add", {**creds, "auth": auth})
    assert done.status == 200


async def test_an_address_has_one_owner(server: Server, smtp: SmtpServer) -> None:
    """Also if both have proved that it is theirs."""
    alice, bob = server.client(ALICE), server.client(BOB)
    both = [
        {
            **(await prove(user, smtp, "account/3pid")),
            "client_secret": SECRET,
            "auth": password_auth(user),
        }
        for user in (alice,)
    ]
    response = await request_token(bob, "account/3pid", client_secret="bob")
    await server.anonymous.post(link_in(await smtp.take()), body=b"")
    his = {"sid": response.json["sid"], "client_secret": "bob"}

    assert (await alice.post("/v3/account/3pid/add", both[0])).status == 200
    refused = await bob.post(
        "/v3/account/3pid/add", {**his, "auth": password_auth(bob)}
    )

    assert error_of(refused) == (400, "M_THREEPID_IN_USE")
    assert await addresses_of(bob) == []


async def test_a_proof_does_not_outlive_its_time(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> None:
    """Nor does the next mail to the same address renew it."""
    clock = FakeClock()
    config = config_for(database_source, tmp_path)
    config = replace(config, mail=smtp.settings())
    async with running_server(config, clock) as server:
        alice = server.client(ALICE)
        creds = await prove(alice, smtp, "account/3pid")
        body = {**creds, "auth": password_auth(alice)}
        clock.advance_ms(LIFETIME_MS)
        late = await alice.post("/v3/account/3pid/add", body)
        renewed = await request_token(alice, "account/3pid")
        body["sid"] = renewed.json["sid"]
        unproved = await alice.post("/v3/account/3pid/add", body)
        await server.anonymous.post(link_in(await smtp.take()), body=b"")
        proved = await alice.post("/v3/account/3pid/add", body)

    assert error_of(late) == error_of(unproved) == (403, "M_THREEPID_AUTH_FAILED")
    assert proved.status == 200


async def test_capitals_make_no_other_address(server: Server, smtp: SmtpServer) -> None:
    alice = server.client(ALICE)
    await add(alice, smtp)

    await request_token(alice, "account/3pid", "ALICE@Example.Org", client_secret="x")

    mail = await smtp.take()
    assert mail.envelope_to == [EMAIL]
    assert "You have an account" in mail.message["Subject"]


async def test_an_address_is_removed(server: Server, smtp: SmtpServer) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await add(alice, smtp)
    body = {"medium": "email", "address": "Alice@example.org"}

    for user in (bob, alice, alice):
        response = await user.post("/v3/account/3pid/delete", body)
        assert response.json == {"id_server_unbind_result": "no-support"}
        assert await addresses_of(alice) == ([EMAIL] if user is bob else [])


async def test_a_closed_account_has_no_addresses(
    server: Server, smtp: SmtpServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await add(alice, smtp)

    body = {"auth": password_auth(alice)}
    assert (await alice.post("/v3/account/deactivate", body)).status == 200

    assert (await add(bob, smtp)).status == 200


async def test_a_mail_is_sent_once_for_each_attempt(
    server: Server, smtp: SmtpServer
) -> None:
    """\"The server will only send an email if the `send_attempt` is a number greater
    than the most recent one".
    """
    anonymous = server.anonymous
    first = await request_token(anonymous, "register", send_attempt=3)
    for send_attempt in (3, 2, 0):
        again = await request_token(anonymous, "register", send_attempt=send_attempt)
        assert again.json == first.json
    assert len(smtp.mails) == 1
    old = link_in(await smtp.take())

    another = await request_token(anonymous, "register", send_attempt=4)

    assert another.json == first.json
    new = link_in(await smtp.take())
    assert (await anonymous.get(old)).status == 400
    assert (await anonymous.get(new)).status == 200


async def test_nobody_learns_who_has_an_account(
    server: Server, smtp: SmtpServer
) -> None:
    """It is the mail that says so, and there is one in each case."""
    await add(server.client(ALICE), smtp)
    secrets = {"client_secret": "s"}

    for purpose, email, subject in (
        ("register", EMAIL, "You have an account on test"),
        ("account/3pid", EMAIL, "You have an account on test"),
        ("account/password", "nobody@example.org", "No account on test has this"),
        ("register", "new@example.org", "Confirm your e-mail address for test"),
        ("account/password", EMAIL, "Confirm your e-mail address for test"),
    ):
        response = await request_token(server.anonymous, purpose, email, **secrets)
        assert (response.status, set(response.json)) == (200, {"sid"})
        mail = await smtp.take()
        assert mail.message["Subject"].startswith(subject)
        has_link = "submit_token" in mail.text
        assert has_link == subject.startswith("Confirm")


async def test_an_operator_may_have_it_told_at_once(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        mail=smtp.settings(),
        third_party=ThirdParty(reveals_accounts=True),
    )
    async with running_server(config) as server:
        await add(server.client(ALICE), smtp)
        in_use = await request_token(server.anonymous, "register", client_secret="x")
        unknown = await request_token(server.anonymous, "account/password", "b@c.d")

    assert error_of(in_use) == (400, "M_THREEPID_IN_USE")
    assert error_of(unknown) == (400, "M_THREEPID_NOT_FOUND")
    assert not smtp.mails


async def test_users_may_be_kept_from_changes(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        mail=smtp.settings(),
        third_party=ThirdParty(users_may_change=False),
    )
    async with running_server(config) as server:
        alice = server.client(ALICE)
        asked = await request_token(alice, "account/3pid")
        added = await alice.post(
            "/v3/account/3pid/add", {"sid": "x", "client_secret": "x"}
        )
        removed = await alice.post(
            "/v3/account/3pid/delete", {"medium": "email", "address": EMAIL}
        )
        capabilities = (await alice.get("/v3/capabilities")).json["capabilities"]

    for refused in (asked, added, removed):
        assert error_of(refused) == (403, "M_THREEPID_DENIED")
    assert capabilities["m.3pid_changes"] == {"enabled": False}


@pytest.mark.one_process(reason="each process counts what it lets through")
async def test_nobody_is_flooded(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> None:
    """One address gets few mails, whoever asks, and by whatever name."""
    config = replace(
        config_for(database_source, tmp_path),
        mail=smtp.settings(),
        rate_limits=RateLimits(mail=RateLimit(per_second=0.001, burst=3)),
    )
    async with running_server(config) as server:
        statuses = [
            (
                await request_token(
                    dataclasses.replace(
                        server.anonymous, client_ip=f"203.0.113.{number}"
                    ),
                    "register",
                    "Alice@example.org" if number % 2 else EMAIL,
                    client_secret=f"s{number}",
                )
            ).status
            for number in range(6)
        ]

    assert statuses == [200] * 3 + [429] * 3
    assert len(smtp.mails) == 3


async def test_a_browser_is_sent_back_to_known_places_only(
    server: Server, smtp: SmtpServer
) -> None:
    for number, (next_link, expected) in enumerate(
        [
            ("https://app.example.org/#/register?a=b", True),
            ("https://app.example.org", True),
            ("https://evil.example/", False),
            ("http://app.example.org/", False),
            ("//app.example.org/", False),
            ("javascript:alert(1)", False),
            ("data:text/html,x", False),
            ("https://app.example.org@evil.example/", False),
            ("https://user:pass@app.example.org/", False),
            ("https://app.example.org.evil.example/", False),
            ("https://app.example.org\\@evil.example/", False),
            ("https://evil.example\\.app.example.org/", False),
            ("https://app.example.org/\r\nSet-Cookie: a=b", False),
            ("https://[app.example.org/", False),
            ("https://app.example.org/" + "x" * 3_000, False),
            ("https://\N{CYRILLIC SMALL LETTER A}pp.example.org/", False),
        ]
    ):
        await request_token(
            server.anonymous, "register", f"a{number}@b.c", next_link=next_link
        )
        response = await server.anonymous.post(link_in(await smtp.take()), body=b"")
        assert response.headers.get("location") == (next_link if expected else None)
        assert response.status == (303 if expected else 200)


async def test_links_that_are_none_are_refused(
    server: Server, smtp: SmtpServer
) -> None:
    await request_token(server.anonymous, "register")
    link = link_in(await smtp.take())
    path, _, query = link.partition("?")
    sid = query.split("&")[0]

    for bad in ("", sid, f"{sid}&token=guess", f"{sid}&token=", "sid=x&token=y"):
        for method in ("GET", "POST"):
            response = await server.anonymous.request(method, f"{path}?{bad}")
            assert response.status == 400
            assert b"does not work any more" in response.body


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"email": "nobody"}, "M_INVALID_PARAM"),
        ({"email": "a@b.c\r\nBcc: d@e.f"}, "M_INVALID_PARAM"),
        ({"email": 7}, "M_BAD_JSON"),
        ({"client_secret": ""}, "M_INVALID_PARAM"),
        ({"client_secret": "ä"}, "M_INVALID_PARAM"),
        ({"client_secret": "x" * 256}, "M_INVALID_PARAM"),
        ({"client_secret": "a\n"}, "M_INVALID_PARAM"),
        ({"send_attempt": -1}, "M_INVALID_PARAM"),
        ({"send_attempt": 2**60}, "M_INVALID_PARAM"),
        ({"send_attempt": "1"}, "M_BAD_JSON"),
        ({"next_link": 7}, "M_BAD_JSON"),
    ],
)
async def test_bad_requests_send_nothing(
    server: Server, smtp: SmtpServer, changed: dict[str, object], errcode: str
) -> None:
    body = {"email": EMAIL, **changed}
    response = await request_token(server.anonymous, "register", **body)

    assert error_of(response) == (400, errcode)
    assert not smtp.mails


async def test_a_mail_that_does_not_go_out_is_told(
    server: Server, smtp: SmtpServer
) -> None:
    smtp.refused[EMAIL] = "451 Try again later"
    failed = await request_token(server.anonymous, "register", send_attempt=1)
    del smtp.refused[EMAIL]
    again = await request_token(server.anonymous, "register", send_attempt=1)

    assert error_of(failed) == (502, "M_UNKNOWN")
    assert again.status == 200
    assert len(smtp.mails) == 1


async def test_phone_numbers_and_identity_servers_are_refused(server: Server) -> None:
    alice = server.client(ALICE)
    body = {
        "client_secret": "x",
        "country": "GB",
        "phone_number": "123",
        "send_attempt": 1,
    }
    for purpose in ("register", "account/password", "account/3pid"):
        path = f"/v3/{purpose}/msisdn/requestToken"
        refused = await server.anonymous.post(path, body)
        assert error_of(refused) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
    creds = {
        "client_secret": "x",
        "sid": "x",
        "id_server": "id.example.org",
        "id_access_token": "x",
    }
    for path, bound in (
        ("/v3/account/3pid/bind", creds),
        ("/v3/account/3pid", {"three_pid_creds": creds}),
    ):
        refused = await alice.post(path, bound)
        assert error_of(refused) == (400, "M_SERVER_NOT_TRUSTED")
    unbound = await alice.post(
        "/v3/account/3pid/unbind", {"medium": "email", "address": EMAIL}
    )
    assert unbound.json == {"id_server_unbind_result": "no-support"}


async def test_guests_have_no_addresses(server: Server) -> None:
    visitor = await guest(server)

    for method, path in (("GET", ""), ("POST", "/add"), ("POST", "/delete")):
        response = await visitor.request(method, f"/v3/account/3pid{path}", json={})
        assert error_of(response) == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_without_mail_there_are_no_addresses(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    async with running_server(config_for(database_source, tmp_path)) as server:
        alice = server.client(ALICE)
        refused = await request_token(alice, "register")
        flows = (await server.anonymous.post("/v3/register", {})).json["flows"]
        capabilities = (await alice.get("/v3/capabilities")).json["capabilities"]

    assert error_of(refused) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
    assert flows == [{"stages": ["m.login.dummy"]}]
    assert capabilities["m.3pid_changes"] == {"enabled": False}
