"""Application services register users and log in as them, over HTTP."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.appservices.registrations import namespaces, registration
from tests.http_client import HttpResponse
from tests.server import Server, config_for, running_server
from tremula.infra.config import RateLimit, RateLimits
from tremula.protocol.appservices import Registration

IRC = registration("irc")
GHOST = "@_irc_alice:test"
TYPE = "m.login.application_service"


async def register(
    server: Server, username: object, by: Registration = IRC, **body: object
) -> HttpResponse:
    client = server.appservice_client(by)
    return await client.post(
        "/v3/register", {"type": TYPE, "username": username, **body}
    )


async def log_in(
    server: Server, user: str, by: Registration = IRC, **body: object
) -> HttpResponse:
    identifier = {"type": "m.id.user", "user": user}
    client = server.appservice_client(by)
    return await client.post(
        "/v3/login", {"type": TYPE, "identifier": identifier, **body}
    )


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status, response.json["errcode"]


async def test_a_user_is_registered_without_a_login(server: Server) -> None:
    await server.add_appservice(IRC)

    response = await register(server, "_irc_alice", inhibit_login=True)

    assert (response.status, response.json) == (200, {"user_id": GHOST})
    profile = await server.client("@bob:test").get(f"/v3/profile/{GHOST}")
    assert profile.json == {"displayname": "_irc_alice"}


async def test_a_bot_that_gets_an_account_keeps_its_profile(server: Server) -> None:
    """An application service may be its sender before that is a user."""
    await server.add_appservice(IRC)
    bot, sender = server.appservice_client(IRC), IRC.sender_localpart
    path = f"/v3/profile/@{sender}:test"
    avatar = {"avatar_url": "mxc://test/bot"}
    assert (await bot.put(f"{path}/avatar_url", avatar)).status == 200

    assert (await register(server, sender)).status == 200

    profile = await server.client("@bob:test").get(path)
    assert profile.json == {"displayname": sender, **avatar}


async def test_a_user_is_registered_with_a_login(server: Server) -> None:
    await server.add_appservice(IRC)

    response = await register(server, "_irc_alice", device_id="DEVICE")

    assert response.json["device_id"] == "DEVICE"
    token = response.json["access_token"]
    whoami = await server.anonymous.get(
        "/v3/account/whoami", headers={"authorization": f"Bearer {token}"}
    )
    assert whoami.json["user_id"] == GHOST


async def test_the_user_it_acts_as_does_not_matter(server: Server) -> None:
    await server.add_appservice(IRC)
    body = {"type": TYPE, "username": "_irc_alice", "inhibit_login": True}

    response = await server.appservice_client(IRC, GHOST).post("/v3/register", body)

    assert response.status == 200


@pytest.mark.parametrize(
    ("username", "refused"),
    [
        ("_irc_taken", (400, "M_USER_IN_USE")),
        ("bob", (400, "M_EXCLUSIVE")),
        ("_irc_Alice", (400, "M_INVALID_USERNAME")),
        ("_irc_" + "a" * 250, (400, "M_INVALID_USERNAME")),
        ("_irc_:elsewhere", (400, "M_INVALID_USERNAME")),
        (None, (400, "M_MISSING_PARAM")),
        (7, (400, "M_BAD_JSON")),
    ],
)
async def test_what_cannot_be_registered(
    server: Server, username: object, refused: tuple[int, str]
) -> None:
    await server.add_appservice(IRC)
    await register(server, "_irc_taken")

    assert refusal(await register(server, username)) == refused


async def test_what_another_one_keeps_to_itself_is_refused(server: Server) -> None:
    await server.add_appservice(IRC)
    everything = registration(
        "all", namespaces=namespaces(exclusive=False, users="@.*")
    )
    await server.add_appservice(everything)

    assert refusal(await register(server, "_irc_alice", everything)) == (
        400,
        "M_EXCLUSIVE",
    )
    assert (await register(server, "alice", everything)).status == 200


@pytest.mark.parametrize("path", ["/v3/register", "/v3/login"])
async def test_only_application_services_do_this(server: Server, path: str) -> None:
    body = {"type": TYPE, "username": "a", "user": "a"}

    assert refusal(await server.anonymous.post(path, body)) == (401, "M_MISSING_TOKEN")
    for client in (server.appservice_client(IRC), server.client("@bob:test")):
        assert refusal(await client.post(path, body)) == (401, "M_UNKNOWN_TOKEN")


async def test_people_cannot_have_names_that_are_kept(server: Server) -> None:
    await server.add_appservice(IRC)
    body = {
        "username": "_irc_alice",
        "password": "correct horse",
        "auth": {"type": "m.login.dummy"},
    }

    response = await server.anonymous.post("/v3/register", body)
    assert refusal(response) == (400, "M_EXCLUSIVE")
    for name in ("_irc_alice", "_IRC_alice", "_irc_bot"):
        path = f"/v3/register/available?username={name}"
        assert refusal(await server.anonymous.get(path)) == (400, "M_EXCLUSIVE")


async def test_people_may_have_names_that_are_not_exclusive(server: Server) -> None:
    await server.add_appservice(
        registration("all", namespaces=namespaces(exclusive=False, users="@.*"))
    )

    response = await server.client("@bob:test").get("/v3/account/whoami")

    assert response.status == 200


async def test_guests_get_no_name_that_is_kept(server: Server) -> None:
    await server.add_appservice(registration("all", namespaces=namespaces(users="@")))

    response = await server.anonymous.post("/v3/register?kind=guest", {})

    assert refusal(response) == (400, "M_EXCLUSIVE")


@pytest.mark.parametrize("user", ["_irc_alice", GHOST])
async def test_it_logs_in_as_its_users(server: Server, user: str) -> None:
    await server.add_appservice(IRC)
    await register(server, "_irc_alice", inhibit_login=True)

    response = await log_in(server, user, device_id="DEVICE")

    assert response.status == 200
    assert response.json["user_id"] == GHOST
    assert response.json["device_id"] == "DEVICE"
    assert response.json["access_token"]


async def test_a_user_that_logs_in_first_is_made(server: Server) -> None:
    await server.add_appservice(IRC)

    response = await log_in(server, GHOST)

    assert response.json["user_id"] == GHOST
    assert refusal(await register(server, "_irc_alice")) == (400, "M_USER_IN_USE")


async def test_whom_it_cannot_log_in_as(server: Server) -> None:
    await server.add_appservice(registration("irc", owner="@me:test"))
    await register(server, "_irc_gone")
    gone = server.app.accounts.users.id_of("_irc_gone")
    await server.app.accounts.deactivate(gone)

    for user in ("bob", "@_irc_alice:elsewhere", "@me:test"):
        assert refusal(await log_in(server, user)) == (400, "M_EXCLUSIVE")
    assert refusal(await log_in(server, gone)) == (403, "M_FORBIDDEN")
    assert refusal(await log_in(server, "_irc_Alice")) == (400, "M_INVALID_USERNAME")
    await register(server, "_irc_locked")
    locked = server.app.accounts.users.id_of("_irc_locked")
    await server.app.moderation.accounts.set_locked(locked, is_locked=True)
    assert refusal(await log_in(server, locked)) == (401, "M_USER_LOCKED")


async def test_its_users_are_not_limited_as_newcomers(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    once = RateLimit(per_second=0.001, burst=1)
    limits = RateLimits(registration=once, login=once)
    config = replace(config_for(database_source, tmp_path), rate_limits=limits)
    async with running_server(config) as server:
        await server.add_appservice(IRC)
        for name in ("_irc_a", "_irc_b", "_irc_c"):
            assert (await register(server, name)).status == 200
            assert (await log_in(server, name)).status == 200
        for _ in server.apps:
            await server.anonymous.post("/v3/register", {})
        response = await server.anonymous.post("/v3/register", {})
        assert refusal(response) == (429, "M_LIMIT_EXCEEDED")
