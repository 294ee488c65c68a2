"""What tests of spaces do again and again, over HTTP."""

from typing import Any
from urllib.parse import quote

from tests.features.rooms import create_room, set_state
from tests.http_client import Client, HttpResponse


async def create_space(client: Client, **body: object) -> str:
    """Make a public space; its ID."""
    space = {"preset": "public_chat", "creation_content": {"type": "m.space"}}
    return await create_room(client, **(space | body))


async def add_child(
    client: Client, space_id: str, room_id: str, **content: object
) -> None:
    """Put a room into a space."""
    child = {"via": ["test"], **content}
    added = await set_state(client, space_id, "m.space.child", child, room_id)
    assert added.status == 200, added.body


async def hierarchy(client: Client, room_id: str, **query: object) -> HttpResponse:
    """A page of a space."""
    path = f"/v1/rooms/{quote(room_id)}/hierarchy"
    return await client.get(path, query={k: str(v) for k, v in query.items()})


async def tree(client: Client, room_id: str, **query: object) -> list[str]:
    """The IDs of the rooms of a space, on however many pages."""
    found: list[str] = []
    page: dict[str, Any] = {"next_batch": None}
    while "next_batch" in page:
        since = {} if page["next_batch"] is None else {"from": page["next_batch"]}
        answer = await hierarchy(client, room_id, **query, **since)
        assert answer.status == 200, answer.body
        page = answer.json
        assert page["rooms"] or "next_batch" not in page
        found += [room["room_id"] for room in page["rooms"]]
    return found


def room_of(answer: HttpResponse, room_id: str) -> dict[str, Any]:
    """One room of a page."""
    [room] = [each for each in answer.json["rooms"] if each["room_id"] == room_id]
    found: dict[str, Any] = room
    return found


def children(room: dict[str, Any]) -> list[str]:
    """The rooms that a room of a page lists."""
    return [event["state_key"] for event in room["children_state"]]
