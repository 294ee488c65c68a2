"""Digests by e-mail, over a real SMTP server."""

import re
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.fakes.clock import FakeClock
from tests.features.pushers.conversations import (
    ALICE,
    BOB,
    new_room,
    read,
    two_in_a_room,
    wake,
)
from tests.features.pushers.pushing import http_pusher
from tests.features.rooms import join, send
from tests.features.third_party.addresses import EMAIL, add, password_auth
from tests.http_client import Client
from tests.server import Server, UserClient, running_server
from tests.smtp_server import Delivered, SmtpServer, running_smtp
from tremula.infra.config import Config
from tremula.infra.db import Statements

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
_LINK = re.compile(r"https://test(/_matrix/tremula/unsubscribe\S+)")


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    """Where mail arrives."""
    async with running_smtp() as smtp:
        yield smtp


@pytest.fixture
def config(config: Config, smtp: SmtpServer) -> Config:
    """That of a server with mail."""
    return replace(config, mail=smtp.settings())


@pytest.fixture
async def alice(server: Server, smtp: SmtpServer) -> UserClient:
    """Alice, who wants to be mailed."""
    alice = server.client(ALICE)
    assert (await add(alice, smtp)).status == 200
    assert (await set_pusher(alice)) == 200
    return alice


async def set_pusher(client: Client, address: str = EMAIL) -> int:
    body = http_pusher(address, kind="email", app_id="m.email", data={})
    return (await client.post("/v3/pushers/set", body)).status


in_jumps = pytest.mark.one_process(reason="what a process holds ends as time jumps")


async def mailed_later(
    smtp: SmtpServer, client: Client, clock: FakeClock, ms: int = 10 * MINUTE_MS
) -> Delivered:
    """What is mailed when *ms* have passed, however late they begin to pass."""
    for _ in range(100):
        clock.advance_ms(ms)
        await wake(client)
        if smtp.mails:
            break
    return await smtp.take()


async def pushkeys_of(client: Client) -> list[str]:
    pushers = (await client.get("/v3/pushers")).json["pushers"]
    return [each["pushkey"] for each in pushers]


@in_jumps
async def test_what_is_unread_after_ten_minutes_is_mailed_at_once(
    server: Server, smtp: SmtpServer, clock: FakeClock, alice: UserClient
) -> None:
    _, bob, kitchen = await two_in_a_room(server, name="Kitchen")
    garden = await new_room(bob, name="Garden <b>")
    await join(alice, garden)

    await send(bob, kitchen, "Dinner")
    await send(bob, kitchen, "is ready")
    await send(bob, garden, "<script>")

    mail = await mailed_later(smtp, alice, clock)
    assert mail.envelope_to == [EMAIL]
    assert mail.message["subject"] == "Unread messages in Kitchen and 1 more"
    assert "Kitchen:\n    bob: Dinner\n    bob: is ready\n" in mail.text
    assert "Garden <b>:\n    bob: <script>\n" in mail.text
    html = mail.part("text/html")
    assert "Garden &lt;b&gt;" in html
    assert "<script>" not in html
    assert smtp.mails == []


@in_jumps
async def test_what_is_read_in_time_is_not_mailed(
    server: Server, smtp: SmtpServer, clock: FakeClock, alice: UserClient
) -> None:
    _, bob, room_id = await two_in_a_room(server)
    await read(alice, room_id, await send(bob, room_id, "seen"))
    clock.advance_ms(HOUR_MS)
    await wake(alice)

    await send(bob, room_id, "unseen")

    mail = await mailed_later(smtp, alice, clock)
    assert "unseen" in mail.text
    assert "bob: seen" not in mail.text


@in_jumps
async def test_a_room_brings_about_one_mail_a_day(
    server: Server, smtp: SmtpServer, clock: FakeClock, alice: UserClient
) -> None:
    """After the second one; another room has its own times."""
    _, bob, room_id = await two_in_a_room(server, name="Kitchen")
    other = await new_room(bob, name="Garden")
    await join(alice, other)
    await send(bob, room_id, "first")
    await mailed_later(smtp, alice, clock)
    await send(bob, room_id, "second")
    await mailed_later(smtp, alice, clock)

    await send(bob, room_id, "third")
    clock.advance_ms(HOUR_MS)
    await wake(alice)
    clock.advance_ms(HOUR_MS)
    await wake(alice)
    await send(bob, other, "elsewhere")

    mail = await mailed_later(smtp, alice, clock)
    assert "elsewhere" in mail.text
    assert "third" in mail.text
    assert "second" not in mail.text


@in_jumps
async def test_the_link_in_a_mail_ends_the_mails(
    server: Server, smtp: SmtpServer, clock: FakeClock, alice: UserClient
) -> None:
    _, bob, room_id = await two_in_a_room(server)
    await send(bob, room_id)
    mail = await mailed_later(smtp, alice, clock)
    found = _LINK.search(mail.text)
    assert found
    assert mail.message["list-unsubscribe"] == f"<https://test{found[1]}>"
    assert mail.message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"

    page = await server.anonymous.get(found[1])
    assert page.status == 200
    assert EMAIL.encode() in page.body
    assert b'<form method="post">' in page.body
    assert await pushkeys_of(alice) == [EMAIL]
    ended = await server.anonymous.post(found[1], body=b"List-Unsubscribe=One-Click")
    assert ended.status == 200

    assert await pushkeys_of(alice) == []
    assert (await server.anonymous.get(found[1])).status == 404
    assert (await server.anonymous.post(found[1], body=b"")).status == 404


async def test_a_link_that_was_guessed_ends_nothing(
    server: Server, alice: UserClient
) -> None:
    path = "/_matrix/tremula/unsubscribe"
    assert (await server.anonymous.post(path, body=b"")).status == 400
    assert (await server.anonymous.post(f"{path}?token=guess", body=b"")).status == 404
    assert await pushkeys_of(alice) == [EMAIL]


async def test_mail_goes_to_ones_own_address_only(
    server: Server, alice: UserClient
) -> None:
    assert await set_pusher(server.client(BOB)) == 400
    assert await set_pusher(alice, "other@example.org") == 400
    assert await pushkeys_of(alice) == [EMAIL]


async def test_an_address_that_was_given_up_has_no_pusher(
    server: Server, smtp: SmtpServer, alice: UserClient
) -> None:
    body = {"medium": "email", "address": EMAIL}
    assert (await alice.post("/v3/account/3pid/delete", body)).status == 200

    assert await pushkeys_of(alice) == []


async def test_mail_goes_to_nobody_who_has_lost_the_address(
    server: Server, smtp: SmtpServer, clock: FakeClock, alice: UserClient
) -> None:
    """Be it that a crash came between."""
    _, bob, room_id = await two_in_a_room(server)
    await send(bob, room_id)
    unit = Statements()
    unit.run("DELETE FROM third_party_ids")
    await server.db.commit(unit)

    for _ in range(100):
        clock.advance_ms(HOUR_MS)
        await wake(alice)
        if not await pushkeys_of(alice):
            break

    assert await pushkeys_of(alice) == []
    assert smtp.mails == []


async def test_a_pusher_by_mail_outlasts_its_device_but_not_the_account(
    server: Server, smtp: SmtpServer, alice: UserClient
) -> None:
    laptop = server.client(ALICE)
    await alice.post("/v3/logout", {})
    assert await pushkeys_of(laptop) == [EMAIL]

    body = {"auth": password_auth(laptop), "erase": True}
    assert (await laptop.post("/v3/account/deactivate", body)).status == 200

    rows = await server.db.all("SELECT pushkey FROM pushers")
    assert rows == []


@in_jumps
async def test_what_an_smtp_server_does_not_take_is_mailed_later(
    server: Server, smtp: SmtpServer, clock: FakeClock, alice: UserClient
) -> None:
    _, bob, room_id = await two_in_a_room(server)
    smtp.refused[EMAIL] = "451 later"
    await send(bob, room_id, "Dinner")
    for _ in range(3):
        clock.advance_ms(HOUR_MS)
        await wake(alice)
    smtp.refused.clear()

    assert "Dinner" in (await mailed_later(smtp, alice, clock, HOUR_MS)).text


@in_jumps
async def test_a_restart_loses_no_mail(
    config: Config, smtp: SmtpServer, clock: FakeClock
) -> None:
    async with running_server(config, clock) as server:
        alice = server.client(ALICE)
        await add(alice, smtp)
        await set_pusher(alice)
        _, bob, room_id = await two_in_a_room(server)
        await send(bob, room_id, "Dinner")

    async with running_server(config, clock) as server:
        server.users.add(ALICE)
        mail = await mailed_later(smtp, server.client(ALICE), clock)

    assert "Dinner" in mail.text
