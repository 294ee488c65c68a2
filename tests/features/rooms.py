"""What room tests do again and again, over HTTP."""

from itertools import count
from typing import Any
from urllib.parse import quote

from tests.http_client import Client, HttpResponse
from tests.server import Server

_txn_ids = count()


async def create_room(client: Client, **body: object) -> str:
    """Make a room, which must succeed; its id."""
    response = await client.post("/v3/createRoom", body)
    assert response.status == 200, response.body
    room_id: str = response.json["room_id"]
    return room_id


async def join(client: Client, room_id: str) -> None:
    """Join, which must succeed."""
    response = await client.post(f"/v3/rooms/{quote(room_id)}/join", {})
    assert response.status == 200, response.body


async def send(
    client: Client,
    room_id: str,
    body: str = "hello",
    *,
    event_type: str = "m.room.message",
) -> str:
    """Send a message, which must succeed; its event id."""
    response = await client.put(
        f"/v3/rooms/{quote(room_id)}/send/{event_type}/t{next(_txn_ids)}",
        {"msgtype": "m.text", "body": body},
    )
    assert response.status == 200, response.body
    event_id: str = response.json["event_id"]
    return event_id


async def set_state(
    client: Client, room_id: str, event_type: str, content: object, state_key: str = ""
) -> HttpResponse:
    """Set a room's state."""
    path = f"/v3/rooms/{quote(room_id)}/state/{event_type}/{quote(state_key, safe='')}"
    return await client.put(path, content)


async def state(
    client: Client, room_id: str, event_type: str, state_key: str = ""
) -> dict[str, Any]:
    """The content of a state event, which must be there."""
    path = f"/v3/rooms/{quote(room_id)}/state/{event_type}/{quote(state_key, safe='')}"
    response = await client.get(path)
    assert response.status == 200, response.body
    content: dict[str, Any] = response.json
    return content


async def member(
    client: Client, room_id: str, action: str, user_id: str, **body: object
) -> HttpResponse:
    """Invite, kick, ban or unban a user."""
    path = f"/v3/rooms/{quote(room_id)}/{action}"
    return await client.post(path, {"user_id": user_id, **body})


def error_of(response: HttpResponse) -> tuple[int, str]:
    """Status and errcode of an answer."""
    return response.status, response.json["errcode"]


async def guest(server: Server) -> Client:
    """A client of a new guest."""
    response = await server.anonymous.post("/v3/register?kind=guest", {})
    assert response.status == 200, response.body
    return Client(server.http, response.json["access_token"])
