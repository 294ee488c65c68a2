"""OpenID tokens, over HTTP (CS and SS "OpenID")."""

from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import error_of, guest
from tests.http_client import Client, HttpResponse
from tests.server import PASSWORD, Server, config_for, running_server

ALICE = "@alice:test"
PATH = f"/v3/user/{ALICE}/openid/request_token"


async def userinfo(server: Server, token: str) -> HttpResponse:
    query = {"access_token": token}
    path = "/_matrix/federation/v1/openid/userinfo"
    return await server.anonymous.get(path, query=query)


async def issue(client: Client) -> str:
    issued = (await client.post(PATH, {})).json
    token: str = issued.pop("access_token")
    assert issued == {
        "token_type": "Bearer",
        "matrix_server_name": "test",
        "expires_in": 3600,
    }
    return token


async def test_a_token_tells_anyone_whose_it_is(server: Server) -> None:
    token = await issue(server.client(ALICE))

    assert (await userinfo(server, token)).json == {"sub": ALICE}
    # More than once, as long as it counts.
    assert (await userinfo(server, token)).json == {"sub": ALICE}


async def test_a_token_is_good_for_an_hour(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    clock = FakeClock()
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        token = await issue(server.client(ALICE))

        clock.advance_ms(3_599_999)
        assert (await userinfo(server, token)).status == 200
        clock.advance_ms(1)
        refused = await userinfo(server, token)
        assert error_of(refused) == (401, "M_UNKNOWN_TOKEN")
        await issue(server.client(ALICE))
        [(count,)] = await server.db.all("SELECT count(*) FROM openid_tokens")
        assert count == 1


async def test_a_token_is_no_access_token_nor_the_other_way_round(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    token = await issue(alice)

    used = await Client(server.http, token).get("/v3/account/whoami")
    assert error_of(used) == (401, "M_UNKNOWN_TOKEN")
    assert alice.login.token is not None
    refused = await userinfo(server, alice.login.token)
    assert error_of(refused) == (401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ("", "M_MISSING_TOKEN"),
        ("?access_token=", "M_MISSING_TOKEN"),
        ("?access_token=guess", "M_UNKNOWN_TOKEN"),
    ],
)
async def test_what_is_no_token_is_refused(
    server: Server, query: str, errcode: str
) -> None:
    path = f"/_matrix/federation/v1/openid/userinfo{query}"

    assert error_of(await server.anonymous.get(path)) == (401, errcode)


async def test_nobody_vouches_for_who_has_left(server: Server) -> None:
    alice = server.client(ALICE)
    token = await issue(alice)
    auth = {"type": "m.login.password", "password": PASSWORD}
    auth["user"] = ALICE
    left = await alice.post("/v3/account/deactivate", {"auth": auth})
    assert left.status == 200, left.body

    assert error_of(await userinfo(server, token)) == (401, "M_UNKNOWN_TOKEN")


async def test_tokens_are_issued_to_their_owners_only(server: Server) -> None:
    other = await server.client("@bob:test").post(PATH, {})
    assert error_of(other) == (403, "M_FORBIDDEN")
    refused = await (await guest(server)).post(PATH, {})
    assert error_of(refused) == (403, "M_GUEST_ACCESS_FORBIDDEN")
