"""Identity servers, over a real socket."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.fakes.remote import trusted_ca_file
from tests.features.rooms import create_room, error_of, join, set_state
from tests.features.third_party.identity_server import (
    PEPPER,
    STORED,
    TOKEN,
    IdentityServer,
    running_identity_server,
)
from tests.features.third_party.test_invitations import invited_to, pending
from tests.http_client import Client, HttpResponse
from tests.server import Server, config_for, running_server
from tremula.infra.config import Outbound, ThirdParty
from tremula.protocol.identifiers import ServerName
from tremula.protocol.x_matrix import (
    SignedRequest,
    parse_authorization,
    verify_request,
)

ALICE, BOB = "@alice:test", "@bob:test"
EMAIL = "bob@example.com"
# IS "sha256": that of EMAIL with PEPPER.
HASHED = "LJwSazmv46n0hlMlsb_iYxI0_HXEqy_yj6Jm636cdT8"
ACCESS = "an-access-token"
UNBIND = {"medium": "email", "address": EMAIL}


@pytest.fixture
async def identity(tmp_path: Path) -> AsyncIterator[IdentityServer]:
    """An identity server on a real socket."""
    async with running_identity_server(tmp_path) as identity:
        yield identity


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path, identity: IdentityServer
) -> AsyncIterator[Server]:
    """A server without mail that trusts the identity server."""
    config = replace(
        config_for(database_source, tmp_path),
        outbound=Outbound(
            trusted_ca_file=trusted_ca_file(tmp_path),
            allowed_private_ranges=(ip_network("127.0.0.1"),),
        ),
        third_party=ThirdParty(identity_servers=(ServerName(identity.name),)),
    )
    async with running_server(config) as server:
        yield server


async def bind(client: Client, id_server: str, token: str = ACCESS) -> HttpResponse:
    body = {
        "sid": "1",
        "client_secret": "secret",
        "id_server": id_server,
        "id_access_token": token,
    }
    return await client.post("/v3/account/3pid/bind", body)


async def invite(
    client: Client, room_id: str, identity: IdentityServer
) -> HttpResponse:
    body = {
        "medium": "email",
        "address": EMAIL,
        "id_server": identity.name,
        "id_access_token": ACCESS,
    }
    return await client.post(f"/v3/rooms/{quote(room_id)}/invite", body)


async def test_an_address_is_bound_with_the_users_token(
    server: Server, identity: IdentityServer
) -> None:
    response = await bind(server.client(ALICE), identity.name)

    assert (response.status, response.json) == (200, {})
    request, body = identity.last()
    assert (request.method, request.uri) == ("POST", "/_matrix/identity/v2/3pid/bind")
    assert request.headers["authorization"] == f"Bearer {ACCESS}"
    assert body == {"sid": "1", "client_secret": "secret", "mxid": ALICE}


async def test_the_deprecated_form_binds_too(
    server: Server, identity: IdentityServer
) -> None:
    creds = {
        "sid": "1",
        "client_secret": "secret",
        "id_server": identity.name,
        "id_access_token": ACCESS,
    }
    alice = server.client(ALICE)

    response = await alice.post("/v3/account/3pid", {"three_pid_creds": creds})

    assert (response.status, response.json) == (200, {})
    assert identity.asked == ["bind"]


async def test_only_servers_that_the_operator_names_are_asked(
    server: Server, identity: IdentityServer
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    other = IdentityServer()
    for name in ("id.example.org", identity.name + "/x", f"x@{identity.name}", ""):
        assert error_of(await bind(alice, name)) == (400, "M_SERVER_NOT_TRUSTED")
        unbound = await alice.post(
            "/v3/account/3pid/unbind", {**UNBIND, "id_server": name}
        )
        assert unbound.json == {"id_server_unbind_result": "no-support"}

    # Invitations go by mail then, which there is none of here.
    refused = await invite(alice, room_id, other)

    assert error_of(refused)[1] == "M_THREEPID_MEDIUM_NOT_SUPPORTED"
    assert identity.asked == []


@pytest.mark.parametrize("token", ["", "a\r\nHost: x", "a b", "\xe4", "x" * 5000])
async def test_tokens_that_cannot_stand_in_a_header_are_refused(
    server: Server, identity: IdentityServer, token: str
) -> None:
    response = await bind(server.client(ALICE), identity.name, token)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert identity.asked == []


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (404, {"errcode": "M_NO_VALID_SESSION", "error": "x"}, None),
        (403, {"errcode": "M_TERMS_NOT_SIGNED", "error": "x"}, None),
        # What would log the client out of this server.
        (401, {"errcode": "M_UNAUTHORIZED", "error": "x"}, (403, "M_FORBIDDEN")),
        (400, {"errcode": "M_UNKNOWN_TOKEN", "error": "x"}, (403, "M_FORBIDDEN")),
        (500, {"errcode": "M_UNKNOWN", "error": "x"}, (502, "M_UNKNOWN")),
        (302, {}, (502, "M_UNKNOWN")),
        (404, {"errcode": 7}, (502, "M_UNKNOWN")),
        (400, [], (502, "M_UNKNOWN")),
    ],
)
async def test_errors_of_the_identity_server_are_told(
    server: Server,
    identity: IdentityServer,
    status: int,
    answer: dict[str, str],
    told: tuple[int, str] | None,
) -> None:
    identity.fail("bind", status, answer)

    response = await bind(server.client(ALICE), identity.name)

    assert error_of(response) == (told or (status, answer["errcode"]))


async def test_this_server_signs_what_unbinds_an_address(
    server: Server, identity: IdentityServer
) -> None:
    alice = server.client(ALICE)

    response = await alice.post(
        "/v3/account/3pid/unbind", {**UNBIND, "id_server": identity.name}
    )

    assert response.json == {"id_server_unbind_result": "success"}
    request, body = identity.last()
    assert body == {"mxid": ALICE, "threepid": UNBIND}
    authorization = parse_authorization(request.headers["authorization"])
    assert (authorization.origin, authorization.destination) == ("test", identity.name)
    signed = SignedRequest(
        method="POST",
        uri="/_matrix/identity/v2/3pid/unbind",
        origin=ServerName("test"),
        destination=ServerName(identity.name),
        content=body,
    )
    key = server.app.own_keys.current.public_key
    verify_request(signed, authorization, key)


async def test_unbinding_may_be_impossible(
    server: Server, identity: IdentityServer
) -> None:
    alice = server.client(ALICE)
    unbind = {**UNBIND, "id_server": identity.name}
    for status in (400, 404, 501):
        identity.answers["unbind"] = (status, b"<html>")
        response = await alice.post("/v3/account/3pid/unbind", unbind)
        assert response.json == {"id_server_unbind_result": "no-support"}

    identity.fail("unbind", 403, {"errcode": "M_FORBIDDEN", "error": "no"})
    refused = await alice.post("/v3/account/3pid/unbind", unbind)
    assert error_of(refused) == (403, "M_FORBIDDEN")
    # It is gone here, whatever the identity server says.
    deleted = await alice.post("/v3/account/3pid/delete", unbind)
    assert deleted.json == {"id_server_unbind_result": "no-support"}
    del identity.answers["unbind"]
    deleted = await alice.post("/v3/account/3pid/delete", unbind)
    assert deleted.json == {"id_server_unbind_result": "success"}


async def test_a_user_whom_the_identity_server_knows_is_invited(
    server: Server, identity: IdentityServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice)
    identity.bound[EMAIL] = BOB

    response = await invite(alice, room_id, identity)

    assert (response.status, response.json) == (200, {})
    assert identity.asked == ["hash_details", "lookup"]
    request, body = identity.last()
    assert request.headers["authorization"] == f"Bearer {ACCESS}"
    assert body == {"algorithm": "sha256", "pepper": PEPPER, "addresses": [HASHED]}
    assert await invited_to(bob) == [room_id]
    assert await pending(alice, room_id) == []


async def test_those_invited_to_a_new_room_are_looked_for_too(
    server: Server, identity: IdentityServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    identity.bound[EMAIL] = BOB
    invited = {"medium": "email", "address": EMAIL, "id_server": identity.name}
    body = {"invite_3pid": [invited]}

    refused = await alice.post("/v3/createRoom", body)
    assert error_of(refused) == (400, "M_MISSING_PARAM")
    assert identity.asked == []
    room_id = await create_room(
        alice, invite_3pid=[{**invited, "id_access_token": ACCESS}]
    )

    assert await invited_to(bob) == [room_id]
    # Where no identity server may be asked, an address takes a mail server.
    invited["id_server"] = "id.example.org"
    refused = await alice.post("/v3/createRoom", body)
    assert error_of(refused)[1] == "M_THREEPID_MEDIUM_NOT_SUPPORTED"


async def test_an_invitation_of_nobody_known_is_stored_there(
    server: Server, identity: IdentityServer
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Tea")

    response = await invite(alice, room_id, identity)

    assert (response.status, response.json) == (200, {})
    assert identity.asked == ["hash_details", "lookup", "store-invite"]
    assert identity.last()[1] == {
        "medium": "email",
        "address": EMAIL,
        "room_id": room_id,
        "sender": ALICE,
        "room_name": "Tea",
        "room_join_rules": "invite",
        "sender_display_name": "alice",
    }
    [event] = await pending(alice, room_id)
    keys = STORED["public_keys"]
    assert event["state_key"] == TOKEN
    assert event["content"] == {
        "display_name": "b...@e...",
        "public_key": "A" * 43,
        "key_validity_url": "https://id.example.org/pubkey/isvalid",
        "public_keys": keys,
    }


async def test_who_may_not_invite_tells_the_identity_server_nothing(
    server: Server, identity: IdentityServer
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await set_state(alice, room_id, "m.room.power_levels", {"invite": 50})

    outside = await invite(bob, room_id, identity)
    await join(bob, room_id)
    powerless = await invite(bob, room_id, identity)

    assert error_of(outside) == error_of(powerless) == (403, "M_FORBIDDEN")
    assert identity.asked == []


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("hash_details", {}),
        ("hash_details", {"lookup_pepper": 7}),
        ("lookup", {"mappings": []}),
        ("lookup", {"mappings": {HASHED: "bob"}}),
        ("store-invite", {**STORED, "token": "a token"}),
        ("store-invite", {**STORED, "token": "a" * 256}),
        ("store-invite", {**STORED, "public_keys": []}),
        ("store-invite", {**STORED, "public_keys": [{"public_key": "A"}]}),
        ("store-invite", {**STORED, "display_name": None}),
    ],
)
async def test_answers_that_are_none_invite_nobody(
    server: Server, identity: IdentityServer, path: str, answer: object
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    identity.fail(path, 200, answer)

    response = await invite(alice, room_id, identity)

    assert error_of(response) == (502, "M_UNKNOWN")
    assert await pending(alice, room_id) == []


async def test_an_invitation_through_a_server_needs_a_token(
    server: Server, identity: IdentityServer
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    body = {"medium": "email", "address": EMAIL, "id_server": identity.name}

    response = await alice.post(f"/v3/rooms/{quote(room_id)}/invite", body)

    assert error_of(response) == (400, "M_MISSING_PARAM")
    assert identity.asked == []
