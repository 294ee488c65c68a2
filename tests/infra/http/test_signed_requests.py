"""Requests of other servers, which are signed: ``Auth.SERVER``."""

import pytest
from msgspec.structs import replace

from tests.http_client import Client
from tests.infra.http.conftest import FakeServers
from tests.infra.http.routes import Notes
from tremula.infra.http.application import Application

PATH = "/signed/a%2Fb"


def signed(origin: str = "a.org", signature: str = "right") -> dict[str, str]:
    value = f'X-Matrix origin="{origin}",key="ed25519:1",sig="{signature}"'
    return {"Authorization": value}


async def test_the_handler_learns_the_origin(client: Client) -> None:
    response = await client.put(PATH, {"a": 1}, headers=signed())

    assert response.json == {"origin": "a.org", "body": {"a": 1}}


async def test_what_is_verified_is_what_came(
    client: Client, servers: FakeServers
) -> None:
    await client.put(PATH + "?x=%20&x", {"a": "\0"}, headers=signed())
    await client.get(PATH, headers=signed())

    assert servers.verified == [
        ("PUT", PATH + "?x=%20&x", {"a": "\0"}),
        ("GET", PATH, None),
    ]


async def test_a_request_without_a_body_reads_as_an_empty_object(
    client: Client,
) -> None:
    response = await client.get(PATH, headers=signed())

    assert response.json["body"] == {}


async def test_numbers_are_verified_exactly(
    client: Client, servers: FakeServers
) -> None:
    body = b'{"n":%d}' % (2**64 + 1)
    await client.request("PUT", PATH, body=body, headers=signed())

    assert servers.verified == [("PUT", PATH, {"n": 2**64 + 1})]


@pytest.mark.parametrize(
    ("headers", "status", "errcode"),
    [
        ({}, 401, "M_UNAUTHORIZED"),
        ({"Authorization": "Bearer alice"}, 401, "M_UNAUTHORIZED"),
        (signed(signature="wrong"), 401, "M_UNAUTHORIZED"),
        (signed(origin="denied.org"), 403, "M_FORBIDDEN"),
    ],
)
async def test_who_is_not_authenticated_is_refused(
    client: Client, notes: Notes, headers: dict[str, str], status: int, errcode: str
) -> None:
    response = await client.put(PATH, {}, headers=headers)

    assert (response.status, response.json["errcode"]) == (status, errcode)
    assert notes.written == []


async def test_the_body_of_an_unsigned_request_is_not_read(client: Client) -> None:
    response = await client.request("PUT", PATH, body=b"x" * 10_000)

    assert response.status == 401


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        (b"{", 400, "M_NOT_JSON"),
        (b'{"a":1,"a":2}', 400, "M_NOT_JSON"),
        (b"[" * 300 + b"]" * 300, 400, "M_NOT_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b"x" * 1_000, 413, "M_TOO_LARGE"),
    ],
)
async def test_a_bad_body_is_refused(
    client: Client, body: bytes, status: int, errcode: str
) -> None:
    response = await client.request("PUT", PATH, body=body, headers=signed())

    assert (response.status, response.json["errcode"]) == (status, errcode)


async def test_an_access_token_is_no_signature(alice: Client) -> None:
    assert (await alice.put(PATH, {})).status == 401


async def test_a_server_without_federation_refuses_everybody(
    application: Application,
) -> None:
    closed = replace(application, servers=None)
    response = await Client(closed.for_listener()).put(PATH, {}, headers=signed())

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
