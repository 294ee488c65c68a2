"""What tests of `/sync` do again and again, over HTTP."""

from typing import Any, Final

import orjson

from tests.http_client import Client

# Presence is news to others and would wake them.
_QUIET: Final = {"set_presence": "offline"}


async def sync(
    client: Client, since: str | None = None, /, **query: object
) -> dict[str, Any]:
    """Sync, which must succeed; ``filter`` may be a filter's ID or definition.

    Nobody comes online by it.
    """
    encoded: dict[str, str | int] = {**_QUIET}
    if since is not None:
        encoded["since"] = since
    for key, value in query.items():
        if isinstance(value, dict):
            encoded[key] = orjson.dumps(value).decode()
        elif isinstance(value, bool):
            encoded[key] = str(value).lower()
        else:
            encoded[key] = str(value)
    response = await client.get("/v3/sync", query=encoded)
    assert response.status == 200, response.body
    answer: dict[str, Any] = response.json
    return answer


async def token(client: Client, /, **query: object) -> str:
    """The position that a first sync leaves the client at."""
    next_batch: str = (await sync(client, **query))["next_batch"]
    return next_batch


def room_of(
    answer: dict[str, Any], room_id: str, section: str = "join"
) -> dict[str, Any]:
    """The entry of a room, which must be there."""
    entry: dict[str, Any] = answer["rooms"][section][room_id]
    return entry


def joined_rooms(answer: dict[str, Any]) -> set[str]:
    """The rooms with news that the user is joined to."""
    return set(answer["rooms"].get("join", ()))


def ids(events: list[dict[str, Any]]) -> list[str]:
    """The event IDs of *events*."""
    return [event["event_id"] for event in events]


def timeline_ids(entry: dict[str, Any]) -> list[str]:
    """The event IDs of a room's timeline."""
    return ids(entry["timeline"]["events"])


def bodies(entry: dict[str, Any]) -> list[str]:
    """The bodies of the messages in a room's timeline."""
    return [
        event["content"].get("body", "")
        for event in entry["timeline"]["events"]
        if event["type"] == "m.room.message"
    ]


def keys(events: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """The types and state keys of state events."""
    return {(event["type"], event["state_key"]) for event in events}


def members(events: list[dict[str, Any]]) -> list[str]:
    """The users whose member events are among *events*, in order."""
    return [e["state_key"] for e in events if e["type"] == "m.room.member"]
