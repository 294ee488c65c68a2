"""Invitations by e-mail, without an identity server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, error_of, join, member, set_state
from tests.features.third_party.addresses import EMAIL, add, link_in, prove
from tests.features.third_party.test_accounts_by_email import email_auth
from tests.http_client import Client, HttpResponse
from tests.server import PASSWORD, Server, config_for, running_server
from tests.smtp_server import SmtpServer
from tremula.features.third_party.invitations import EmailInvitations
from tremula.infra.config import ThirdParty
from tremula.infra.db import DatabaseUnavailable
from tremula.protocol.base64 import decode_base64
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.signing import verify_json
from tremula.rooms.events import Draft
from tremula.rooms.rooms import Rooms

ALICE, BOB = "@alice:test", "@bob:test"
TYPE = "m.room.third_party_invite"


async def invite(client: Client, room_id: str, address: object = EMAIL) -> HttpResponse:
    return await client.post(
        f"/v3/rooms/{quote(room_id)}/invite", {"medium": "email", "address": address}
    )


async def pending(client: Client, room_id: str) -> list[dict[str, Any]]:
    """The pending invitations of a room."""
    state = (await client.get(f"/v3/rooms/{quote(room_id)}/state")).json
    return [each for each in state if each["type"] == TYPE and each["content"]]


async def invited_to(client: Client) -> list[str]:
    """The rooms that a user is invited to."""
    return list((await client.get("/v3/sync")).json.get("rooms", {}).get("invite", {}))


async def test_a_new_user_is_invited_by_an_old_address(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Tea & <b>cake</b>\r\nBcc: x@y.z")

    response = await invite(alice, room_id)

    assert (response.status, response.json) == (200, {})
    [event] = await pending(alice, room_id)
    assert event["content"]["display_name"] == "a...@e..."
    assert EMAIL not in str(event)
    mail = await smtp.take()
    assert mail.envelope_to == [EMAIL]
    assert mail.message["Bcc"] is None
    assert "Tea & <b>cake</b> Bcc: x@y.z" in mail.text
    assert "<b>cake" not in mail.part("text/html")
    assert event["state_key"] not in mail.raw.decode()

    creds = await prove(server.anonymous, smtp, "register")
    body = {"username": "new", "password": PASSWORD, "auth": email_auth(creds)}
    made = await server.anonymous.post("/v3/register", body)
    new = Client(server.http, made.json["access_token"])

    assert await invited_to(new) == [room_id]
    await join(new, room_id)


@pytest.mark.one_process(reason="it lets one process invite too slowly")
async def test_an_address_that_is_added_amid_its_invitation_is_invited(
    server: Server, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner has looked for invitations before this one was noted."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    append = Rooms.append

    async def slowly(
        self: Rooms, room_id: RoomId, drafts: Sequence[Draft]
    ) -> list[EventId]:
        monkeypatch.setattr(Rooms, "append", append)
        assert (await add(bob, smtp)).status == 200
        return await append(self, room_id, drafts)

    monkeypatch.setattr(Rooms, "append", slowly)
    response = await invite(alice, room_id)

    assert (response.status, response.json) == (200, {})
    assert await invited_to(bob) == [room_id]


@pytest.mark.one_process(reason="it lets the database of one process fail")
async def test_an_outage_between_account_and_invitation_loses_neither(
    server: Server, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await invite(alice, room_id)
    await smtp.take()
    creds = await prove(server.anonymous, smtp, "register")
    body = {"username": "new", "password": PASSWORD, "auth": email_auth(creds)}

    invitations: list[EmailInvitations] = []

    async def fail(self: EmailInvitations, *_: object) -> None:
        invitations.append(self)
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as outage:
        outage.setattr(EmailInvitations, "deliver", fail)
        made = await server.anonymous.post("/v3/register", body)
    assert made.status == 200, made.body
    new = Client(server.http, made.json["access_token"])
    assert await invited_to(new) == []
    await invitations[0].deliver_missed()

    assert await invited_to(new) == [room_id]


@pytest.mark.one_process(reason="it asks one process")
async def test_what_waits_for_the_button_is_not_delivered_without_it(
    server: Server, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    invitations: list[EmailInvitations] = []
    deliver = EmailInvitations.deliver

    async def noted(self: EmailInvitations, *given: Any) -> None:  # noqa: ANN401
        invitations.append(self)
        await deliver(self, *given)

    monkeypatch.setattr(EmailInvitations, "deliver", noted)
    assert (await add(bob, smtp)).status == 200
    await invite(alice, await create_room(alice))

    await invitations[0].deliver_missed()

    assert await invited_to(bob) == []


async def test_who_has_the_address_takes_its_invitation_by_the_mail(
    server: Server, smtp: SmtpServer
) -> None:
    """Until then nobody is told whose it is."""
    alice, bob = server.client(ALICE), server.client(BOB)
    assert (await add(bob, smtp)).status == 200
    room_id = await create_room(alice)

    response = await invite(alice, room_id)
    link = link_in(await smtp.take())
    page = await server.anonymous.get(link)
    seen = await invited_to(bob)
    pressed = await server.anonymous.post(link, body=b"")

    assert (response.status, response.json) == (200, {})
    assert (page.status, pressed.status) == (200, 200)
    assert seen == []
    assert await invited_to(bob) == [room_id]
    await join(bob, room_id)
    # A second press does no more than the first.
    assert (await server.anonymous.post(link, body=b"")).status == 200
    assert await invited_to(bob) == []


async def test_the_mail_of_an_invitation_proves_no_address(
    server: Server, smtp: SmtpServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    assert (await add(bob, smtp)).status == 200
    await invite(alice, await create_room(alice))
    link = link_in(await smtp.take())
    await server.anonymous.post(link, body=b"")
    [sid] = parse_qs(urlsplit(link).query)["sid"]

    creds = {"sid": sid, "client_secret": "x"}
    body = {"new_password": "another horse", "auth": email_auth(creds)}
    refused = await server.anonymous.post("/v3/account/password", body)

    assert error_of(refused) == (401, "M_FORBIDDEN")


async def test_where_accounts_are_no_secret_who_has_the_address_is_invited(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        mail=smtp.settings(),
        third_party=ThirdParty(reveals_accounts=True),
    )
    async with running_server(config) as server:
        alice, bob = server.client(ALICE), server.client(BOB)
        assert (await add(bob, smtp)).status == 200
        room_id = await create_room(alice)

        response = await invite(alice, room_id)
        again = await invite(alice, room_id)

        assert (response.status, again.status) == (200, 200)
        assert await invited_to(bob) == [room_id]
        assert await pending(alice, room_id) == []
        assert not smtp.mails
        await join(bob, room_id)
        assert error_of(await invite(alice, room_id)) == (403, "M_FORBIDDEN")


async def test_the_exchanged_invitation_is_signed(
    server: Server, smtp: SmtpServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    await invite(alice, room_id)
    await smtp.take()
    [event] = await pending(alice, room_id)

    assert (await add(bob, smtp)).status == 200

    path = f"/v3/rooms/{quote(room_id)}/state/m.room.member/{quote(BOB)}"
    signed = (await alice.get(path)).json["third_party_invite"]["signed"]
    assert (signed["mxid"], signed["token"]) == (BOB, event["state_key"])
    [key_id] = signed["signatures"]["test"]
    key = decode_base64(event["content"]["public_key"])
    verify_json(signed, ServerName("test"), {key_id: key})
    # Each is delivered once.
    await member(alice, room_id, "kick", BOB)
    await bob.post("/v3/account/3pid/delete", {"medium": "email", "address": EMAIL})
    await add(bob, smtp)
    assert await invited_to(bob) == []


async def test_the_key_of_invitations_is_valid(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await invite(alice, room_id)
    [event] = await pending(alice, room_id)
    url = "/_matrix/identity/v2/pubkey/isvalid"

    assert event["content"]["key_validity_url"] == f"https://test{url}"
    for key, expected in (
        (event["content"]["public_key"], True),
        (event["content"]["public_key"] + "=", True),
        ("A" * 43, False),
        ("", False),
    ):
        answer = await server.anonymous.get(url, query={"public_key": key})
        assert answer.json == {"valid": expected}
    missing = await server.anonymous.get(url)
    assert error_of(missing) == (400, "M_MISSING_PARAM")


async def test_who_may_not_invite_sends_no_mail(
    server: Server, smtp: SmtpServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await set_state(alice, room_id, "m.room.power_levels", {"invite": 50})

    outside = await invite(bob, room_id)
    await join(bob, room_id)
    powerless = await invite(bob, room_id)

    assert error_of(outside) == error_of(powerless) == (403, "M_FORBIDDEN")
    assert not smtp.mails


async def test_an_invitation_that_was_taken_back_is_not_delivered(
    server: Server, smtp: SmtpServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    rooms = [await create_room(alice) for _ in range(3)]
    for room_id in rooms:
        await invite(alice, room_id)
        await smtp.take()
    [event] = await pending(alice, rooms[0])
    await set_state(alice, rooms[0], TYPE, {}, event["state_key"])
    await alice.post(f"/v3/rooms/{quote(rooms[1])}/leave", {})

    assert (await add(bob, smtp)).status == 200

    assert await invited_to(bob) == [rooms[2]]


async def test_a_room_begins_with_invitations(server: Server, smtp: SmtpServer) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    body = {"invite_3pid": [{"medium": "email", "address": EMAIL, "id_server": "x"}]}
    response = await alice.post("/v3/createRoom", {"preset": "private_chat", **body})
    assert (await smtp.take()).envelope_to == [EMAIL]

    await add(bob, smtp)

    assert await invited_to(bob) == [response.json["room_id"]]
    for invited in (
        [{"medium": "msisdn", "address": "44123"}],
        [{"medium": "email", "address": "nobody"}],
        [{"medium": "email", "address": EMAIL}] * 11,
    ):
        refused = await alice.post("/v3/createRoom", {"invite_3pid": invited})
        assert refused.status in {400, 403}
    assert not smtp.mails


async def test_addresses_that_are_none_are_refused(
    server: Server, smtp: SmtpServer
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    path = f"/v3/rooms/{quote(room_id)}/invite"

    for body, error in (
        ({"medium": "email", "address": "nobody"}, (400, "M_INVALID_PARAM")),
        ({"medium": "email"}, (400, "M_INVALID_PARAM")),
        ({"medium": "email", "address": 7}, (400, "M_BAD_JSON")),
        ({"medium": "msisdn", "address": "44123"}, (403, "M_THREEPID_DENIED")),
        ({"address": EMAIL}, (403, "M_THREEPID_DENIED")),
        ({}, (400, "M_MISSING_PARAM")),
    ):
        assert error_of(await alice.post(path, body)) == error
    assert not smtp.mails
