"""Administrators, and what moderation tests do again and again."""

from tests.http_client import Client
from tests.server import PASSWORD, Server, UserClient
from tremula.protocol.identifiers import UserId

ROOT = "@root:test"


async def admin(server: Server, user_id: str = ROOT) -> UserClient:
    """A client of a server administrator."""
    client = server.client(user_id)
    assert (await client.get("/v3/account/whoami")).status == 200
    await server.app.accounts.set_admin(UserId(user_id), is_admin=True)
    return client


async def refresh_token_of(client: UserClient) -> str:
    """The refresh token of a new device of the client's user."""
    assert (await client.get("/v3/account/whoami")).status == 200
    response = await Client(client.app).post(
        "/v3/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": client.user_id},
            "password": PASSWORD,
            "refresh_token": True,
        },
    )
    token: str = response.json["refresh_token"]
    return token
