"""Stored events as the rules take them: `Event` values, with what servers need."""

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import orjson
from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId
from tremula.rooms import graph_storage
from tremula.rooms.graph import Node, Standing

T = TypeVar("T")


class WholeEvent(Struct, frozen=True):
    """A stored event and how it stands."""

    nid: int
    event: Event
    standing: Standing


async def nodes_of(
    db: Reader, room_nid: int, event_ids: Collection[EventId]
) -> dict[EventId, Node]:
    """Those of *event_ids*, however many, that are stored events of this room."""
    found: dict[EventId, Node] = {}
    for part in portions(set(event_ids)):
        nodes = await graph_storage.nodes_by_ids(db, part)
        found |= {k: node for k, node in nodes.items() if node.room_nid == room_nid}
    return found


async def whole_events(db: Reader, nids: Collection[int]) -> list[WholeEvent]:
    """The events *nids*, in no order; unknown ones are left out."""
    rows = [
        row
        for part in portions(nids)
        for row in await graph_storage.whole_events(db, part)
    ]
    return [
        WholeEvent(nid, parse_stored(event_id, client, server), Standing(standing))
        for nid, event_id, standing, client, server in rows
    ]


def parse_stored(event_id: str, client_json: bytes, server_json: bytes) -> Event:
    """The value of an event whose halves were checked before they were stored."""
    client: dict[str, Any] = orjson.loads(client_json)
    server: dict[str, Any] = orjson.loads(server_json)
    content = client["content"]
    redacts = client.get("redacts", content.get("redacts"))
    return Event(
        event_id=EventId(event_id),
        room_id=client["room_id"],
        type=client["type"],
        sender=client["sender"],
        state_key=client.get("state_key"),
        content=content,
        origin_server_ts=client["origin_server_ts"],
        depth=server["depth"],
        prev_events=linked_ids(server["prev_events"]),
        auth_events=linked_ids(server["auth_events"]),
        redacts=EventId(redacts) if isinstance(redacts, str) else None,
    )


def auth_ids(server_json: bytes) -> tuple[EventId, ...]:
    """The auth events that the server half of an event names."""
    return linked_ids(orjson.loads(server_json)["auth_events"])


def prev_ids(server_json: bytes) -> tuple[EventId, ...]:
    """The previous events that the server half of an event names."""
    return linked_ids(orjson.loads(server_json)["prev_events"])


def linked_ids(links: Iterable[Any]) -> tuple[EventId, ...]:
    """The IDs in ``prev_events`` or ``auth_events``: RV1 and RV2 add hashes to them."""
    return tuple(EventId(link if isinstance(link, str) else link[0]) for link in links)


def portions(items: Collection[T]) -> Iterable[list[T]]:
    """*items* in lists that one query may be given."""
    listed = list(items)
    for start in range(0, len(listed), graph_storage.LIST_MAX):
        yield listed[start : start + graph_storage.LIST_MAX]
