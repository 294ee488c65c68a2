"""Application services of a server, and the users that they make."""

from tests.features.appservices.registrations import registration
from tests.server import AppserviceClient, Server
from tremula.protocol.appservices import Registration
from tremula.protocol.identifiers import UserId

IRC = registration("irc")
GHOST = UserId("@_irc_alice:test")
ME = UserId("@me:test")


async def add_with_ghost(server: Server, **changes: object) -> AppserviceClient:
    """An application service, acting as `GHOST`, which it has registered."""
    await server.add_appservice(registration("irc", **changes))
    await register(server, "_irc_alice")
    return server.appservice_client(IRC, GHOST)


async def register(server: Server, username: str, by: Registration = IRC) -> None:
    """Have an application service make a user."""
    body = {
        "type": "m.login.application_service",
        "username": username,
        "inhibit_login": True,
    }
    response = await server.appservice_client(by).post("/v3/register", body)
    assert response.status == 200, response.body


async def create(server: Server, user_id: str) -> None:
    """Make a user who has nothing to do with application services."""
    response = await server.client(user_id).get("/v3/account/whoami")
    assert response.status == 200
