"""What a server costs while nothing happens."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import User, check, each
from bench.long_polls import Inbox, LongPoller, long_polling
from bench.processes import measured
from bench.scenarios.subject import Metrics, Place, Sent, Subject, shared_room


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody is there; has to come first, on a server that has done nothing."""

    seconds: float = 5

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        async with measured(subject.processes, settle_s=0) as usage:
            await asyncio.sleep(self.seconds)
        return {
            "rss_mb": subject.processes.rss_kb() / 1024,
            "startup_s": subject.server.startup_s,
        } | usage.cpu_ms_per(round(self.seconds))


@dataclass(frozen=True, slots=True)
class IdlePolls:
    """Many long polls that end with nothing, of users in rooms of ten. Then one
    message, which has to wake the members of its room and nobody else.
    """

    clients: int = 1_000
    room_members: int = 10
    poll_s: float = 30

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        users = await subject.homeserver.users(self.clients)
        groups = [
            users[start : start + self.room_members]
            for start in range(0, self.clients, self.room_members)
        ]
        room_ids = await each(groups, shared_room, at_once=4)
        before_kb = subject.processes.rss_kb()
        inbox = Inbox()
        async with long_polling(users, inbox, timeout_s=self.poll_s) as pollers:
            await asyncio.sleep(1)
            polls_before = _polls(pollers)
            async with measured(subject.processes, settle_s=0) as usage:
                await asyncio.sleep(self.poll_s)
            polls = _polls(pollers) - polls_before
            check(polls > self.clients / 2, f"only {polls} polls ended")
            after_kb = subject.processes.rss_kb()
            await _wake(groups[0], room_ids[0], pollers, inbox)
        return usage.cpu_ms_per(polls) | {
            "kb_each": (after_kb - before_kb) / self.clients
        }


async def _wake(
    members: Sequence[User],
    room_id: str,
    pollers: Sequence[LongPoller],
    inbox: Inbox,
) -> None:
    before = sum(poller.wakes for poller in pollers)
    sent = Sent()
    event_id = await sent.send(Place(members[0], room_id))
    await inbox.until(len(members))
    await asyncio.sleep(0.5)
    text = sent.by_room[room_id][event_id]
    inbox.verify({(user.user_id, event_id): text for user in members})
    woken = sum(poller.wakes for poller in pollers) - before
    check(woken == len(members), f"{woken} clients woke, of a room of {len(members)}")


def _polls(pollers: Sequence[LongPoller]) -> int:
    return sum(poller.polls for poller in pollers)
