"""Users who act at random in the rooms of an administrator, over a restart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.config import PostgresUrl, SqliteFile

ADMIN: Final = "@admin:test"
USERS: Final = ("@alice:test", "@bob:test", "@carol:test")


class World(Protocol):
    """Who acts, and what they know."""

    async def enter(self, server: Server) -> None:
        """Go on with *server*, which may have been started anew."""
        ...

    async def step(self) -> None:
        """Do something."""
        ...

    async def check(self) -> None:
        """Compare what is known with what the server says."""
        ...


async def act_over_a_restart(
    world: World, source: SqliteFile | PostgresUrl, folder: Path, *, steps: int
) -> None:
    """Take so many steps on a server, and as many after it has been started anew."""
    config = config_for(source, folder)
    for _ in range(2):
        async with running_server(config) as server:
            await world.enter(server)
            for _ in range(steps):
                await world.step()
            await world.check()


async def clients_at(server: Server, before: Mapping[str, Client]) -> dict[str, Client]:
    """Everybody's clients at *server*, logged in as those *before* a restart were."""
    clients = {}
    for user_id in (ADMIN, *USERS):
        if user_id in before:
            token = before[user_id].token
        else:
            user = server.client(user_id)
            await user.get("/v3/account/whoami")
            token = user.login.token
        clients[user_id] = Client(server.http, token)
    return clients
