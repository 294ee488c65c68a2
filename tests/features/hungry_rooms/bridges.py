"""A bridge, its bot and its rooms, over HTTP."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from tests.features.appservices.registrations import registration
from tests.http_client import Client, HttpResponse
from tests.server import Server

GHOST: Final = "@_irc_ann:test"
OTHER_GHOST: Final = "@_irc_ben:test"
BOT: Final = "@_irc_bot:test"


async def bridge(
    server: Server, *, owner: str | None = None, name: str = "irc"
) -> Client:
    """A new application service, acting as its bot."""
    registered = registration(name, **({"owner": owner} if owner else {}))
    await server.add_appservice(registered)
    client = server.appservice_client(registered)
    response = await client.post(
        "/v3/register",
        {"type": "m.login.application_service", "username": f"_{name}_bot"},
    )
    assert response.status == 200, response.body
    return client


def message(
    body: str, sender: str = GHOST, *, event_id: str | None = None, **event: object
) -> dict[str, Any]:
    """An entry of a batch."""
    said: dict[str, Any] = {
        "type": "m.room.message",
        "sender": sender,
        "content": {"msgtype": "m.text", "body": body},
        "origin_server_ts": 1_600_000_000_000,
        **event,
    }
    if event_id is not None:
        said["event_id"] = event_id
    return said


async def batch(
    client: Client, room_id: str, events: Sequence[dict[str, Any]], **options: object
) -> HttpResponse:
    """Send a batch."""
    path = f"/unstable/com.beeper.backfill/rooms/{quote(room_id)}/batch_send"
    return await client.post(path, {"events": list(events), **options})


async def sent_batch(
    client: Client, room_id: str, *bodies: str, **options: object
) -> list[str]:
    """Send messages as a batch, which must succeed; their IDs."""
    events = [message(body) for body in bodies]
    response = await batch(client, room_id, events, **options)
    assert response.status == 200, response.body
    event_ids: list[str] = response.json["event_ids"]
    return event_ids


async def bodies(client: Client, room_id: str, **query: str) -> list[str]:
    """All of the room that has a body, in the order of `/messages`."""
    path = f"/v3/rooms/{quote(room_id)}/messages"
    wanted = {"dir": "b", "limit": "7", **query}
    found: list[str] = []
    while True:
        response = await client.get(path, query=wanted)
        assert response.status == 200, response.body
        found += [_shown(event) for event in response.json["chunk"]]
        if "end" not in response.json:
            return [each for each in found if each]
        wanted["from"] = response.json["end"]


def _shown(event: dict[str, Any]) -> str:
    if event["type"] == "m.room.create":
        return "created"
    body: str = event["content"].get("body", "")
    return body
