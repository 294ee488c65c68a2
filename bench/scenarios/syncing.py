"""How soon, and at what cost, messages reach those who sync."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Final

from bench.long_polls import Inbox, long_polling
from bench.processes import measured
from bench.scenarios.subject import (
    Metrics,
    Place,
    Sent,
    Subject,
    percentile,
    shared_room,
)

_WARM_UP: Final = 5
# Until all clients poll again.
_PAUSE_S: Final = 0.03
_LONG_PAUSE_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Latency:
    """From the start of a send to its arrival at the other user, one at a time."""

    messages: int = 300

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        sender, receiver = await subject.homeserver.users(2)
        room_id = await shared_room([sender, receiver])
        place, sent, inbox = Place(sender, room_id), Sent(), Inbox()
        latencies_ms: list[float] = []
        async with long_polling([receiver], inbox):
            await asyncio.sleep(_LONG_PAUSE_S)
            for number in range(1, _WARM_UP + self.messages + 1):
                began_s = time.perf_counter()
                event_id = await sent.send(place)
                await inbox.until(number)
                arrived_s = inbox.arrived_s[receiver.user_id, event_id]
                latencies_ms.append((arrived_s - began_s) * 1000)
                await asyncio.sleep(_PAUSE_S)
        inbox.verify(
            {
                (receiver.user_id, event_id): text
                for event_id, text in sent.by_room[room_id].items()
            }
        )
        counted = latencies_ms[_WARM_UP:]
        return {
            "p50_ms": percentile(counted, 0.5),
            "p99_ms": percentile(counted, 0.99),
        }


@dataclass(frozen=True, slots=True)
class FanOut:
    """One message to many who wait for it; their next poll is counted as well."""

    clients: int = 200
    messages: int = 20

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        sender, *receivers = await subject.homeserver.users(self.clients + 1)
        room_id = await shared_room([sender, *receivers])
        place, sent, inbox = Place(sender, room_id), Sent(), Inbox()
        async with long_polling(receivers, inbox):
            await asyncio.sleep(1)
            await self._send(place, sent, inbox)
            async with measured(subject.processes) as usage:
                last_ms = [
                    await self._send(place, sent, inbox) for _ in range(self.messages)
                ]
        inbox.verify(
            {
                (user.user_id, event_id): text
                for user in receivers
                for event_id, text in sent.by_room[room_id].items()
            }
        )
        return usage.cpu_ms_per(self.clients * self.messages) | {
            "last_p50_ms": statistics.median(last_ms),
            "last_max_ms": max(last_ms),
        }

    async def _send(self, place: Place, sent: Sent, inbox: Inbox) -> float:
        before = len(inbox.arrived_s)
        began_s = time.perf_counter()
        await sent.send(place)
        await inbox.until(before + self.clients)
        last_ms = (max(inbox.arrived_s.values()) - began_s) * 1000
        await asyncio.sleep(_LONG_PAUSE_S)
        return last_ms
