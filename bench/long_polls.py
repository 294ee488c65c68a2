"""Clients that long-poll `/sync`, and what they are delivered."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from bench.client import User, WrongAnswer, check, each

_PATIENCE_S: Final = 60
_TIMELINE_MAX: Final = 100
_WANTED: Final = {
    "room": {
        "timeline": {"limit": _TIMELINE_MAX},
        "state": {"lazy_load_members": True},
    }
}

Delivery = tuple[str, str]
"""User ID and event ID."""


class Inbox:
    """Messages as they arrive at many clients, each exactly once."""

    def __init__(self) -> None:
        self.arrived_s: dict[Delivery, float] = {}
        self._texts: dict[Delivery, str] = {}
        self._goal = 0
        self._reached = asyncio.Event()

    def deliver(self, delivery: Delivery, text: str, *, now_s: float) -> None:
        """Take what came.

        Raises:
            WrongAnswer: it came before.
        """
        check(delivery not in self._texts, f"{delivery} came twice")
        self._texts[delivery] = text
        self.arrived_s[delivery] = now_s
        if len(self._texts) >= self._goal:
            self._reached.set()

    async def until(self, count: int) -> None:
        """Wait for *count* deliveries in all.

        Raises:
            WrongAnswer: they do not come.
        """
        self._goal = count
        if len(self._texts) >= count:
            return
        self._reached.clear()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._reached.wait()
        except TimeoutError:
            came = len(self._texts)
            raise WrongAnswer(f"{came} of {count} deliveries came") from None

    def verify(self, sent: dict[Delivery, str]) -> None:
        """What came is what was sent: nothing is lost, added or changed.

        Raises:
            WrongAnswer: it is not.
        """
        check(self._texts == sent, f"{len(sent)} sent, {len(self._texts)} came")


@dataclass(slots=True)
class LongPoller:
    """One client. Counts its polls, and those that brought news of rooms."""

    user: User
    inbox: Inbox
    timeout_ms: int
    polls: int = 0
    wakes: int = 0
    since: str = field(default="", repr=False)

    async def start(self) -> None:
        """Learn what there is."""
        self.since = (await self.user.sync(wanted=_WANTED))["next_batch"]

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            answer = await self.user.sync(
                since=self.since, timeout_ms=self.timeout_ms, wanted=_WANTED
            )
            now_s = time.perf_counter()
            self.polls += 1
            self.since = answer["next_batch"]
            rooms = answer.get("rooms", {}).get("join", {})
            self.wakes += bool(rooms)
            for room in rooms.values():
                check(not room["timeline"].get("limited"), "/sync left a gap")
                for event in room["timeline"]["events"]:
                    if event["type"] == "m.room.message":
                        delivery = (self.user.user_id, event["event_id"])
                        self.inbox.deliver(
                            delivery, event["content"]["body"], now_s=now_s
                        )


@asynccontextmanager
async def long_polling(
    users: Sequence[User], inbox: Inbox, *, timeout_s: float = 30
) -> AsyncIterator[list[LongPoller]]:
    """All *users* poll while the block runs; an error of one ends the block."""
    pollers = [LongPoller(user, inbox, round(timeout_s * 1000)) for user in users]
    await each(pollers, LongPoller.start, at_once=16)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(poller.run()) for poller in pollers]
        yield pollers
        for task in tasks:
            task.cancel()
