"""What tests of unread counts do again and again, over HTTP."""

from collections.abc import Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from tests.features.rooms import create_room, join
from tests.features.sync.syncing import sync
from tests.http_client import Client
from tests.server import Server

BY_THREAD: Final = {"room": {"timeline": {"unread_thread_notifications": True}}}

NOTHING_ELSE: Final[Mapping[str, object]] = MappingProxyType({})

_txn_ids = count()


async def say(
    client: Client,
    room_id: str,
    body: str = "hello",
    *,
    thread: str | None = None,
    event_type: str = "m.room.message",
    content: Mapping[str, object] = NOTHING_ELSE,
) -> str:
    """Send a message, which must succeed; its event ID."""
    relation = {"rel_type": "m.thread", "event_id": thread}
    in_thread = {} if thread is None else {"m.relates_to": relation}
    response = await client.put(
        f"/v3/rooms/{quote(room_id)}/send/{event_type}/n{next(_txn_ids)}",
        {"msgtype": "m.text", "body": body, **content, **in_thread},
    )
    assert response.status == 200, response.body
    event_id: str = response.json["event_id"]
    return event_id


async def read(
    client: Client, room_id: str, event_id: str, kind: str = "m.read", **body: str
) -> None:
    """Give a receipt, which must succeed."""
    path = f"/v3/rooms/{quote(room_id)}/receipt/{kind}/{quote(event_id)}"
    response = await client.post(path, body)
    assert response.status == 200, response.body


def counts_of(answer: dict[str, Any], room_id: str) -> tuple[int, int]:
    """The unread notifications and highlights of a room in an answer of `/sync`."""
    counts = answer["rooms"]["join"][room_id]["unread_notifications"]
    return counts["notification_count"], counts["highlight_count"]


async def unread(client: Client, room_id: str) -> tuple[int, int]:
    """The same, as a first sync has them."""
    return counts_of(await sync(client), room_id)


async def unread_threads(client: Client, room_id: str) -> dict[str, tuple[int, int]]:
    """The same outside of threads (`main`), and by the roots of threads."""
    answer = await sync(client, filter=BY_THREAD)
    threads = answer["rooms"]["join"][room_id].get("unread_thread_notifications", {})
    return {"main": counts_of(answer, room_id)} | {
        root: (counts["notification_count"], counts["highlight_count"])
        for root, counts in threads.items()
    }


async def room_of(server: Server, *user_ids: str) -> str:
    """A room that the first user made and the others are in."""
    first, *others = map(server.client, user_ids)
    room_id = await create_room(first, preset="public_chat")
    for other in others:
        await join(other, room_id)
    return room_id
