"""Senders that never stop, and a reader that must miss nothing."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson
from aiohttp import ClientError

from tests.crash.person import Person

_LONG_POLL_MS: Final = 20_000
# Few enough that busy rooms answer with limited timelines now and then.
_FILTER: Final = orjson.dumps({"room": {"timeline": {"limit": 20}}}).decode()


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends numbered messages to a room, each after the last was acknowledged.

    ``acknowledged`` holds their event ids; a number is its index, and its txn id.
    """

    name: str
    person: Person
    room_id: str
    acknowledged: list[str] = field(default_factory=list)

    async def send_until_the_end(self, on_acknowledged: Callable[[], None]) -> None:
        """Send until the server goes away, first what it may not have got."""
        with contextlib.suppress(ClientError):
            while True:
                number = len(self.acknowledged)
                self.acknowledged.append(await self.send(number))
                on_acknowledged()

    async def send(self, number: int) -> str:
        """Send a message, again or for the first time; its event id."""
        name = f"{self.name}.{number}"
        return await self.person.send(self.room_id, txn_id=name, body=name)


@dataclass(slots=True)
class Reader:
    """Follows every room of a user by `/sync`, and remembers where it was."""

    person: Person
    since: str | None = None
    event_ids: dict[str, list[str]] = field(
        default_factory=lambda: defaultdict[str, list[str]](list)
    )

    async def read_until_the_end(self) -> None:
        """Read until the server goes away."""
        with contextlib.suppress(ClientError):
            while True:
                await self.read()

    async def read(self) -> None:
        """One `/sync`, with `/messages` for what it left out."""
        query: dict[str, str | int] = {"filter": _FILTER}
        if self.since is not None:
            query |= {"since": self.since, "timeout": _LONG_POLL_MS}
        answer = await self.person.call("GET", "/sync", query=query)
        rooms: dict[str, Any] = answer["rooms"].get("join", {})
        new = {
            room_id: await self._with_gap(room_id, room["timeline"])
            for room_id, room in rooms.items()
        }
        # Nothing counts as read before all of it was.
        for room_id, event_ids in new.items():
            self.event_ids[room_id] += event_ids
        self.since = answer["next_batch"]

    async def _with_gap(self, room_id: str, timeline: dict[str, Any]) -> list[str]:
        found = [event["event_id"] for event in timeline["events"]]
        if not timeline["limited"]:
            return found
        known = set(self.event_ids[room_id])
        token: str | None = timeline["prev_batch"]
        while token is not None:
            page = await messages(self.person, room_id, token)
            for event in page["chunk"]:
                if event["event_id"] in known:
                    return found
                found.insert(0, event["event_id"])
            token = page.get("end")
        return found


async def messages(
    person: Person, room_id: str, token: str | None = None
) -> dict[str, Any]:
    """A page of history, the newest event first."""
    query: dict[str, str | int] = {"dir": "b", "limit": 100}
    if token is not None:
        query["from"] = token
    return await person.call("GET", f"/rooms/{quote(room_id)}/messages", query=query)


async def history(person: Person, room_id: str) -> list[str]:
    """The event ids of the whole room, the oldest first."""
    found: list[str] = []
    token: str | None = None
    while True:
        page = await messages(person, room_id, token)
        found += [event["event_id"] for event in page["chunk"]]
        token = page.get("end")
        if token is None:
            return found[::-1]


def assert_sent_once(whole: Sequence[str], senders: Sequence[Sender]) -> None:
    """All that was acknowledged is in the room, once and in order, and nothing else.

    *whole* are the events of a room that was made and joined before.
    """
    assert len(whole) == len(set(whole))
    places = {event_id: place for place, event_id in enumerate(whole)}
    for sender in senders:
        order = [places[event_id] for event_id in sender.acknowledged]
        assert order == sorted(order)
    messages = {id_ for sender in senders for id_ in sender.acknowledged}
    assert set(whole[-len(messages) :]) == messages
