"""Addresses that are added while something else happens to the account."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.features.rooms import error_of
from tests.features.slow_passwords import check_slowly
from tests.features.third_party.addresses import (
    EMAIL,
    addresses_of,
    password_auth,
    prove,
)
from tests.server import Server
from tests.smtp_server import SmtpServer
from tremula.protocol.identifiers import UserId

ALICE = UserId("@alice:test")
ADD = "/v3/account/3pid/add"

Meanwhile = Callable[[Server], Awaitable[object]]


async def _deactivate(server: Server) -> None:
    await server.app.accounts.deactivate(ALICE)


async def _change_password(server: Server) -> None:
    await server.app.accounts.set_password(ALICE, "another password", logs_out=False)


@pytest.mark.one_process(reason="it lets one process check a password too slowly")
@pytest.mark.parametrize("meanwhile", [_deactivate, _change_password])
async def test_an_address_is_not_added_with_a_password_that_is_one_no_more(
    server: Server,
    smtp: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Meanwhile,
) -> None:
    """Whoever has the address can set the password."""
    alice = server.client(ALICE)
    creds = await prove(alice, smtp, "account/3pid")
    check_slowly(monkeypatch, lambda: meanwhile(server))

    response = await alice.post(ADD, {**creds, "auth": password_auth(alice)})

    assert error_of(response) == (401, "M_FORBIDDEN")
    assert await server.db.all("SELECT * FROM third_party_ids") == []


async def test_an_address_is_added_amid_a_deactivation_or_not_at_all(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    creds = await prove(alice, smtp, "account/3pid")

    await asyncio.gather(
        alice.post(ADD, {**creds, "auth": password_auth(alice)}), _deactivate(server)
    )

    assert await server.db.all("SELECT * FROM third_party_ids") == []


async def test_an_address_that_is_proved_twice_at_once_is_added(
    server: Server, smtp: SmtpServer
) -> None:
    alice, auth = server.client(ALICE), password_auth(server.client(ALICE))
    proofs = [
        await prove(alice, smtp, "account/3pid", secret=secret)
        for secret in ("one", "other")
    ]

    added = await asyncio.gather(
        *(alice.post(ADD, {**each, "auth": auth}) for each in proofs)
    )

    assert [each.status for each in added] == [200, 200]
    assert await addresses_of(alice) == [EMAIL]


async def test_an_address_that_two_users_prove_at_once_is_one_users(
    server: Server, smtp: SmtpServer
) -> None:
    users = [server.client(ALICE), server.client("@bob:test")]
    proofs = [
        await prove(user, smtp, "account/3pid", secret=secret)
        for user, secret in zip(users, ("one", "other"), strict=True)
    ]

    added = await asyncio.gather(
        *(
            user.post(ADD, {**creds, "auth": password_auth(user)})
            for user, creds in zip(users, proofs, strict=True)
        )
    )

    assert sorted(each.status for each in added) == [200, 400]
    [refused] = [each for each in added if each.status == 400]
    assert error_of(refused) == (400, "M_THREEPID_IN_USE")


async def test_a_proof_lasts_until_the_address_is_added(
    server: Server, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = server.client(ALICE)
    creds = await prove(alice, smtp, "account/3pid")
    body = {**creds, "auth": password_auth(alice)}

    with monkeypatch.context() as full:
        full.setattr("tremula.features.third_party.service._IDS_MAX", 0)
        refused = await alice.post(ADD, body)
    added = await alice.post(ADD, body)

    assert error_of(refused) == (403, "M_THREEPID_DENIED")
    assert added.status == 200, added.body
    assert await addresses_of(alice) == [EMAIL]


async def test_a_proof_adds_an_address_once(server: Server, smtp: SmtpServer) -> None:
    alice = server.client(ALICE)
    creds = await prove(alice, smtp, "account/3pid")
    body = {**creds, "auth": password_auth(alice)}
    assert (await alice.post(ADD, body)).status == 200
    removed = {"medium": "email", "address": EMAIL}
    assert (await alice.post("/v3/account/3pid/delete", removed)).status == 200

    again = await alice.post(ADD, body)

    assert error_of(again) == (403, "M_THREEPID_AUTH_FAILED")
    assert await addresses_of(alice) == []
