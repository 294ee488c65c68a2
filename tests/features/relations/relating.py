"""What tests of relations do again and again, over HTTP."""

from collections.abc import Mapping
from itertools import count
from typing import Any
from urllib.parse import quote

from tests.http_client import Client

_txn_ids = count()


async def relate(
    client: Client,
    room_id: str,
    rel_type: str,
    parent_id: str,
    content: Mapping[str, object] | None = None,
    *,
    event_type: str = "m.room.message",
    relation: Mapping[str, object] | None = None,
) -> str:
    """Send an event that relates to another, which must succeed; its ID."""
    relates_to = {"rel_type": rel_type, "event_id": parent_id, **(relation or {})}
    response = await client.put(
        f"/v3/rooms/{quote(room_id)}/send/{event_type}/relate{next(_txn_ids)}",
        {
            "msgtype": "m.text",
            "body": "",
            **(content or {}),
            "m.relates_to": relates_to,
        },
    )
    assert response.status == 200, response.body
    event_id: str = response.json["event_id"]
    return event_id


async def reply(client: Client, room_id: str, root_id: str, body: str = "") -> str:
    """Send an event in a thread."""
    return await relate(client, room_id, "m.thread", root_id, {"body": body})


async def edit(client: Client, room_id: str, event_id: str, body: str = "new") -> str:
    """Edit an event."""
    new_content = {"msgtype": "m.text", "body": body}
    more = {"body": f"* {body}", "m.new_content": new_content}
    return await relate(client, room_id, "m.replace", event_id, more)


async def redact(client: Client, room_id: str, event_id: str) -> None:
    """Redact an event, which must succeed."""
    path = f"/v3/rooms/{quote(room_id)}/redact/{quote(event_id, safe='')}"
    response = await client.put(f"{path}/redact{next(_txn_ids)}", {})
    assert response.status == 200, response.body


async def ignore(client: Client, user_id: str, *ignored: str) -> None:
    """Have a user ignore others."""
    response = await client.put(
        f"/v3/user/{quote(user_id)}/account_data/m.ignored_user_list",
        {"ignored_users": {each: {} for each in ignored}},
    )
    assert response.status == 200, response.body


async def relations_of(
    client: Client, room_id: str, event_id: str
) -> dict[str, Any] | None:
    """The ``m.relations`` of a single event; None if it has none."""
    path = f"/v3/rooms/{quote(room_id)}/event/{quote(event_id, safe='')}"
    response = await client.get(path)
    assert response.status == 200, response.body
    relations: dict[str, Any] | None = response.json["unsigned"].get("m.relations")
    return relations


async def related(
    client: Client,
    room_id: str,
    event_id: str,
    *types: str,
    **query: str | int,
) -> dict[str, Any]:
    """A page of what relates to an event, which must be allowed."""
    response = await client.get(relations_path(room_id, event_id, *types), query=query)
    assert response.status == 200, response.body
    page: dict[str, Any] = response.json
    return page


def relations_path(room_id: str, event_id: str, *types: str) -> str:
    """The path of CS getRelatingEvents."""
    parts = "/".join(quote(each, safe="") for each in (event_id, *types))
    return f"/v1/rooms/{quote(room_id)}/relations/{parts}"


async def threads(client: Client, room_id: str, **query: str | int) -> dict[str, Any]:
    """A page of a room's threads, which must be allowed."""
    response = await client.get(f"/v1/rooms/{quote(room_id)}/threads", query=query)
    assert response.status == 200, response.body
    page: dict[str, Any] = response.json
    return page


def ids(page: dict[str, Any]) -> list[str]:
    """The IDs of the events of a page."""
    return [event["event_id"] for event in page["chunk"]]
