"""What scenarios are made of: a server under test, and steps that many share."""

import math
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from bench.client import Homeserver, User, check, each
from bench.processes import Processes
from bench.servers import Server

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class Subject:
    """One server, and how to talk to it."""

    server: Server
    homeserver: Homeserver

    @property
    def processes(self) -> Processes:
        """The server's processes."""
        return self.server.processes


class Scenario(Protocol):
    """Does something to a server, checks what it did, and says what it cost.

    A dataclass whose fields are its sizes.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    async def run(self, subject: Subject) -> Metrics:
        """Run it once.

        Raises:
            WrongAnswer: the server did not do what a right one does.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Someone who sends to a room."""

    sender: User
    room_id: str


@dataclass(slots=True)
class Sent:
    """The messages of each room, text by event ID."""

    by_room: dict[str, dict[str, str]] = field(
        default_factory=lambda: defaultdict[str, dict[str, str]](dict)
    )

    async def send(self, place: Place) -> str:
        """Send one message; returns its event ID."""
        text = new_text()
        event_id = await place.sender.send(place.room_id, text)
        texts = self.by_room[place.room_id]
        check(event_id not in texts, "two messages have the same event ID")
        texts[event_id] = text
        return event_id

    async def send_all(self, places: Sequence[Place], count: int) -> None:
        """All *places* at once, one message after the other at each of them."""

        async def send_share(place: Place) -> None:
            for _ in range(count // len(places)):
                await self.send(place)

        await each(places, send_share, at_once=len(places))

    async def verify(self, place: Place) -> None:
        """The room holds what was sent, each message once and unchanged.

        Raises:
            WrongAnswer: it does not.
        """
        stored: dict[str, str] = {}
        async for page in place.sender.pages(place.room_id):
            messages = [event for event in page if event["type"] == "m.room.message"]
            for event in messages:
                check(event["event_id"] not in stored, "an event is there twice")
                stored[event["event_id"]] = event["content"]["body"]
        sent = self.by_room[place.room_id]
        check(stored == sent, f"{len(sent)} sent, {len(stored)} stored")


def new_text() -> str:
    """A message like no other, about as long as people's."""
    return f"{secrets.token_hex(8)} the quick brown fox jumps over the lazy dog again"


async def shared_room(members: Sequence[User]) -> str:
    """A public room of *members*; the first one made it."""
    owner, *others = members
    room_id = await owner.create_room()
    await each(others, lambda user: user.join(room_id), at_once=8)
    return room_id


def percentile(values: Iterable[float], share: float) -> float:
    """The least of *values* that *share* of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def prefixed(prefix: str, metrics: Mapping[str, float]) -> Metrics:
    """*metrics* of one part of a scenario."""
    return {f"{prefix}_{name}": value for name, value in metrics.items()}
