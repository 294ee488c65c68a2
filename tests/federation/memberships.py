"""What tests of memberships between servers do again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from tests.http_client import Client, HttpResponse
from tests.server import Server

PATIENCE_S: Final = 20.0

ALICE: Final = "@alice:one.test"
BOB: Final = "@bob:two.test"
CAROL: Final = "@carol:three.test"


async def join(client: Client, room: str, *via: str, **body: object) -> HttpResponse:
    """Join a room by its ID or alias."""
    path = f"/v3/join/{quote(room, safe='')}"
    return await client.post(path, body, query={"via": via})


async def knock(client: Client, room: str, *via: str, **body: object) -> HttpResponse:
    """Knock on a room."""
    path = f"/v3/knock/{quote(room, safe='')}"
    return await client.post(path, body, query={"via": via})


async def leave(client: Client, room_id: str, **body: object) -> HttpResponse:
    """Leave a room."""
    return await client.post(f"/v3/rooms/{quote(room_id)}/leave", body)


async def state_ids(client: Client, room_id: str) -> dict[str, str]:
    """The whole state as a member sees it: event IDs by type and state key."""
    response = await client.get(f"/v3/rooms/{quote(room_id)}/state")
    assert response.status == 200, response.body
    return {
        f"{event['type']}|{event['state_key']}": event["event_id"]
        for event in response.json
    }


async def membership(client: Client, room_id: str, user_id: str) -> str | None:
    """A user's membership as a member sees it."""
    path = f"/v3/rooms/{quote(room_id)}/state/m.room.member/{quote(user_id)}"
    response = await client.get(path)
    found: str | None = response.json.get("membership")
    return found


async def rooms(client: Client, section: str) -> dict[str, Any]:
    """A section of the rooms of an initial sync, those left included."""
    filter_json = '{"room":{"include_leave":true}}'
    response = await client.get("/v3/sync", query={"filter": filter_json})
    found: dict[str, Any] = response.json.get("rooms", {}).get(section, {})
    return found


async def until(client: Client, is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so that other servers bring about, and tell *client*."""
    async with asyncio.timeout(PATIENCE_S):
        token = (await client.get("/v3/sync")).json["next_batch"]
        while not await is_so():
            query = {"since": token, "timeout": 10_000}
            token = (await client.get("/v3/sync", query=query)).json["next_batch"]


async def until_equal(one: Client, other: Client, room_id: str) -> None:
    """Wait until *other* sees the state that *one*, of another server, sees."""

    async def is_equal() -> bool:
        return await state_ids(one, room_id) == await state_ids(other, room_id)

    await until(other, is_equal)


def stored_rooms(server: Server) -> Awaitable[list[Any]]:
    """The IDs of all rooms that a server has anything of."""
    return server.db.all("SELECT room_id FROM rooms_rooms")
