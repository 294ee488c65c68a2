"""Users who are to be notified, and what they do."""

from itertools import count
from typing import Final
from urllib.parse import quote

from tests.features.pushers.push_gateway import PushGateway
from tests.features.pushers.pushing import http_pusher
from tests.features.rooms import create_room, join, send
from tests.http_client import Client
from tests.server import Server

ALICE: Final = "@alice:test"
BOB: Final = "@bob:test"

_numbers = count()


async def push_to(
    client: Client, gateway: PushGateway, pushkey: str = "key", **data: object
) -> None:
    """Have the client's user notified by *gateway*."""
    body = http_pusher(pushkey, data={"url": gateway.url, **data})
    assert (await client.post("/v3/pushers/set", body)).status == 200


async def new_room(client: Client, **body: object) -> str:
    """Make a public room, like no other though the clock stands still."""
    content = {"org.example.number": next(_numbers)}
    return await create_room(
        client, preset="public_chat", creation_content=content, **body
    )


async def two_in_a_room(server: Server, **room: object) -> tuple[Client, Client, str]:
    """Alice, and Bob who has made a room that both are in."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await new_room(bob, **room)
    await join(alice, room_id)
    return alice, bob, room_id


async def read(client: Client, room_id: str, event_id: str) -> None:
    """Send a receipt."""
    path = f"/v3/rooms/{quote(room_id)}/receipt/m.read/{quote(event_id)}"
    assert (await client.post(path, {})).status == 200


async def wake(client: Client) -> None:
    """Have it looked at what is due by the test's clock, for the client's user.

    The server waits by the world's; so something has to happen.
    """
    room_id = await new_room(client)
    await read(client, room_id, await send(client, room_id))
