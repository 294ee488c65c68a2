"""What is written at one process and read at another: rows of a table."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import quote

from tests.features.rooms import create_room, join
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.infra.http.exchange import HttpApp

ALICE: Final = "@alice:test"
BOB: Final = "@bob:test"
CAROL: Final = "@carol:test"
PHONE: Final = "PHONE"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """The same clients, at one process: Alice and Bob are in the room, Carol is not."""

    alice: Client
    bob: Client
    carol: Client
    anonymous: Client
    room_id: str

    def path(self, path: str) -> str:
        """A path below that of the room."""
        return f"/v3/rooms/{quote(self.room_id)}/{path}"

    async def sync(self, client: Client, since: str = "") -> Any:  # noqa: ANN401 - JSON
        """An answer of `/sync` that waits for nothing."""
        after = f"&since={since}" if since else ""
        return await ok(client.get(f"/v3/sync?set_presence=offline{after}"))


Row = Callable[[Place, Place], Awaitable[bool]]
"""Writes at the first place and reads at the second; whether that was there."""


async def ok(asked: Awaitable[HttpResponse]) -> Any:  # noqa: ANN401 - JSON
    """What is answered to a request that must succeed."""
    response = await asked
    assert response.status == 200, response.body
    return response.json


def fresh(prefix: str = "n") -> str:
    """A name that nothing has yet."""
    return f"{prefix}{next(_numbers)}"


async def places_of(server: Server) -> list[Place]:
    """One for each process."""
    clients = [server.client(each, device_id=PHONE) for each in (ALICE, BOB, CAROL)]
    alice, bob, _ = clients
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    for client in clients:
        await ok(client.get("/v3/account/whoami"))
    tokens = [client.login.token for client in clients]
    return [
        _place(app.application.for_listener(), tokens, room_id) for app in server.apps
    ]


def _place(http: HttpApp, tokens: Sequence[str | None], room_id: str) -> Place:
    alice, bob, carol, anonymous = (Client(http, each) for each in (*tokens, None))
    return Place(alice, bob, carol, anonymous, room_id)
