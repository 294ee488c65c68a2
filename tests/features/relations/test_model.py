"""Whatever happens, what is told of relations is what the events literally say."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.features.relations.relating import (
    ids,
    ignore,
    redact,
    related,
    relations_of,
    threads,
)
from tests.features.rooms import create_room, join, send
from tests.http_client import Client
from tests.server import Server

USERS: Final = ("@alice:test", "@bob:test", "@carol:test")
REL_TYPES: Final = ("m.thread", "m.replace", "m.reference", "m.annotation")
OPERATIONS: Final = ("send",) * 2 + ("relate",) * 8 + ("redact", "ignore", "read")
STEPS: Final = 60

Event = dict[str, Any]


def relation(event: Event) -> tuple[str | None, str | None]:
    """Relation type and parent."""
    found = event["content"].get("m.relates_to", {})
    return found.get("rel_type"), found.get("event_id")


def children(
    events: Sequence[Event], parent: str, ignored: Collection[str]
) -> list[Event]:
    """What relates to an event, oldest first."""
    return [
        event
        for event in events
        if relation(event)[1] == parent and event["sender"] not in ignored
    ]


def expected(
    events: Sequence[Event], parent: Event, user_id: str, ignored: Collection[str]
) -> dict[str, object]:
    """The aggregation of one event, as `summary` gives it."""
    told: dict[str, object] = {}
    own = children(events, parent["event_id"], ignored)
    edits = [
        event
        for event in own
        if relation(event)[0] == "m.replace"
        and (event["sender"], event["type"]) == (parent["sender"], parent["type"])
        and isinstance(event["content"].get("m.new_content"), dict)
    ]
    is_redacted = "redacted_because" in parent["unsigned"]
    if edits and not is_redacted and relation(parent)[0] != "m.replace":
        newest = max(edits, key=lambda e: (e["origin_server_ts"], e["event_id"]))
        told["m.replace"] = newest["event_id"]
    references = [e["event_id"] for e in own if relation(e)[0] == "m.reference"]
    if references:
        told["m.reference"] = references
    in_thread = [event for event in own if relation(event)[0] == "m.thread"]
    if in_thread and relation(parent)[0] is None:
        takes_part = user_id in {e["sender"] for e in (*in_thread, parent)}
        nested = expected(events, in_thread[-1], user_id, ignored)
        latest_id = in_thread[-1]["event_id"]
        told["m.thread"] = (latest_id, nested, len(in_thread), takes_part)
    return told


def summary(told: dict[str, Any] | None) -> dict[str, object]:
    """What the server tells, as `expected` puts it."""
    found: dict[str, object] = {}
    for rel_type, each in (told or {}).items():
        if rel_type == "m.replace":
            found[rel_type] = each["event_id"]
        elif rel_type == "m.reference":
            found[rel_type] = [event["event_id"] for event in each["chunk"]]
        else:
            latest = each["latest_event"]
            nested = summary(latest["unsigned"].get("m.relations"))
            takes_part = each["current_user_participated"]
            found[rel_type] = (latest["event_id"], nested, each["count"], takes_part)
    return found


@dataclass(slots=True)
class World:
    """Users who say at random what relates to what."""

    random: Random
    clients: dict[str, Client]
    # Of somebody who ignores nobody, and so is shown all.
    observer: Client
    room_id: str
    sent: list[str] = field(default_factory=list)
    ignored: dict[str, set[str]] = field(default_factory=dict)
    acts: int = 0

    async def act(self) -> None:
        user_id = self.random.choice(USERS)
        client = self.clients[user_id]
        operation = self.random.choice(OPERATIONS)
        if operation == "send" or not self.sent:
            self.sent.append(await send(client, self.room_id))
        elif operation == "relate":
            await self._relate(client)
        elif operation == "redact":
            # The creator may redact everything.
            target = self.random.choice(self.sent)
            await redact(self.clients[USERS[0]], self.room_id, target)
        elif operation == "ignore":
            others = set(USERS) - {user_id}
            self.ignored[user_id] = {u for u in others if self.random.random() < 0.3}
            await ignore(client, user_id, *sorted(self.ignored[user_id]))
        else:
            await self.events(client)

    async def _relate(self, client: Client) -> None:
        # Mostly to few events, so that they have many children.
        parent = self.random.choice(self.random.choice([self.sent, self.sent[:3]]))
        self.acts += 1
        new_content: object = self.random.choice([{"body": "new"}, "new", {}])
        content = {
            "body": str(self.acts),
            "m.new_content": new_content,
            "m.relates_to": {
                "rel_type": self.random.choice(REL_TYPES),
                "event_id": parent,
                "key": str(self.acts),
            },
        }
        kind = self.random.choice(["m.room.message"] * 4 + ["org.example.other"])
        path = f"/v3/rooms/{quote(self.room_id)}/send/{kind}/act{self.acts}"
        response = await client.put(path, content)
        if response.status == 200:
            self.sent.append(response.json["event_id"])
        else:
            assert response.json["errcode"] == "M_UNKNOWN"

    async def events(self, client: Client) -> list[Event]:
        """All of the room's events, oldest first."""
        response = await client.get(
            f"/v3/rooms/{quote(self.room_id)}/messages",
            query={"dir": "f", "limit": 1000},
        )
        found: list[Event] = response.json["chunk"]
        return found

    async def check(self, user_id: str) -> None:
        """See that *user_id* is told what the events say."""
        client, ignored = self.clients[user_id], self.ignored.get(user_id, set())
        events = await self.events(self.observer)
        for event in await self.events(client):
            own = expected(events, event, user_id, ignored)
            assert summary(event["unsigned"].get("m.relations")) == own
        for event_id in self.random.sample(self.sent, 5):
            [event] = [each for each in events if each["event_id"] == event_id]
            told = await relations_of(client, self.room_id, event_id)
            assert summary(told) == expected(events, event, user_id, ignored)
            page = await related(client, self.room_id, event_id, limit=500)
            of_event = children(events, event_id, ignored)
            listed = [each["event_id"] for each in of_event if is_listed(each)]
            assert ids(page) == listed[::-1]
        positions = {event["event_id"]: place for place, event in enumerate(events)}
        roots = {
            event["event_id"]: positions[newest]
            for event in events
            if (thread := expected(events, event, user_id, ignored).get("m.thread"))
            and isinstance(thread, tuple)
            and (newest := thread[0])
        }
        found = ids(await threads(client, self.room_id, limit=100))
        assert found == sorted(roots, key=lambda each: -roots[each])


def is_listed(event: Event) -> bool:
    """Whether its relation is more than an edit without a new content."""
    is_new = isinstance(event["content"].get("m.new_content"), dict)
    return relation(event)[0] != "m.replace" or is_new


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_told_is_what_the_events_say(server: Server, seed: int) -> None:
    clients = {user_id: server.client(user_id) for user_id in USERS}
    room_id = await create_room(clients[USERS[0]], preset="public_chat")
    observer = server.client("@dave:test")
    for client in (*clients.values(), observer):
        await join(client, room_id)
    world = World(Random(seed), dict(clients), observer, room_id)  # noqa: S311 - not a secret

    for step in range(STEPS):
        await world.act()
        if step % 15 == 14:
            for user_id in USERS:
                await world.check(user_id)
