"""Profiles between servers."""

import pytest

from tests.fakes.clock import FakeClock
from tests.features.rooms import error_of
from tests.federation.network import Federation
from tests.federation.remote import Refusal, Remote, add_remote
from tests.http_client import HttpResponse
from tests.server import Server
from tremula.infra.config import Federation as FederationConfig

ALICE = "@alice:a.test"
FAR = "@far:far.test"
PATH = "/v1/query/profile"


@pytest.fixture
async def server(federation: Federation) -> Server:
    server = await federation.start("a.test")
    path = f"/v3/profile/{ALICE}/m.tz"
    await server.client(ALICE).put(path, {"m.tz": "Europe/Berlin"})
    return server


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, "far.test")


async def profile_of(server: Server, user_id: str = FAR) -> HttpResponse:
    return await server.anonymous.get(f"/v3/profile/{user_id}")


async def test_another_server_is_told_a_profile(server: Server, remote: Remote) -> None:
    whole = await remote.ask(server, PATH, {"user_id": ALICE})
    assert whole.json == {"displayname": "alice", "m.tz": "Europe/Berlin"}

    query = {"user_id": ALICE, "field": "m.tz"}
    assert (await remote.ask(server, PATH, query)).json == {"m.tz": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"user_id": ALICE, "field": "avatar_url"}, (404, "M_NOT_FOUND")),
        ({"user_id": "@nobody:a.test"}, (404, "M_NOT_FOUND")),
        ({"user_id": "@x:b.test"}, (404, "M_NOT_FOUND")),
        ({"user_id": "alice"}, (400, "M_INVALID_PARAM")),
        ({}, (400, "M_MISSING_PARAM")),
    ],
)
async def test_a_profile_that_is_not_ours_is_not_told(
    server: Server, remote: Remote, query: dict[str, str], error: tuple[int, str]
) -> None:
    assert error_of(await remote.ask(server, PATH, query)) == error


async def test_our_users_read_profiles_of_other_servers(federation: Federation) -> None:
    server, other = await federation.start("a.test"), await federation.start("b.test")
    bob = other.client("@bob:b.test")
    await bob.put("/v3/profile/@bob:b.test/displayname", {"displayname": "Bob"})

    assert (await profile_of(server, "@bob:b.test")).json == {"displayname": "Bob"}
    field = await server.anonymous.get("/v3/profile/@bob:b.test/displayname")
    assert field.json == {"displayname": "Bob"}
    nobody = await profile_of(server, "@nobody:b.test")
    assert error_of(nobody) == (404, "M_NOT_FOUND")


async def test_a_remote_profile_is_kept_for_a_minute(federation: Federation) -> None:
    clock, remote = FakeClock(), add_remote(federation, "far.test")
    server = await federation.start("a.test", clock=clock)
    remote.answers["query/profile"] = {"displayname": "Old", "avatar_url": None}
    assert (await profile_of(server)).json == {"displayname": "Old"}

    remote.answers["query/profile"] = {"displayname": "New"}
    assert (await profile_of(server)).json == {"displayname": "Old"}
    clock.advance_ms(60_001)
    assert (await profile_of(server)).json == {"displayname": "New"}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (Refusal(404, "M_NOT_FOUND"), (404, "M_NOT_FOUND")),
        (Refusal(403, "M_FORBIDDEN"), (403, "M_FORBIDDEN")),
        (Refusal(429, "M_LIMIT_EXCEEDED"), (502, "M_UNKNOWN")),
        (["profile"], (502, "M_UNKNOWN")),
    ],
)
async def test_what_goes_wrong_with_a_remote_profile_is_told(
    server: Server, remote: Remote, given: object, error: tuple[int, str]
) -> None:
    remote.answers["query/profile"] = given

    assert error_of(await profile_of(server)) == error


async def test_without_federation_nobody_is_asked_for_a_profile(
    federation: Federation,
) -> None:
    add_remote(federation, "far.test")
    off = FederationConfig(enabled=False)
    server = await federation.start("a.test", federation=off)

    assert error_of(await profile_of(server)) == (403, "M_FORBIDDEN")
    assert federation.network.letters == []
