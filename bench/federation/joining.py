"""What it takes to join a large room of another server."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from bench.client import LAZY_MEMBERS, User, until
from bench.federation.large_room import LargeRoom
from bench.processes import measured
from bench.scenarios.subject import Metrics, Subject

_PATIENCE_S: Final = 600
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class JoinLargeRoom:
    """A user of a fresh server joins with the help of one that is in the room."""

    members: int

    async def run(self, joiner: Subject, room: LargeRoom, resident: str) -> Metrics:
        """Join *room* of ``members`` users by way of the server *resident*.

        Raises:
            TimeoutError: it takes too long until the room can be used.
        """
        user = await joiner.homeserver.register()
        async with measured(joiner.processes) as usage, asyncio.timeout(_PATIENCE_S):
            began_s = time.perf_counter()
            await user.join_via(room.room_id, resident)
            joined_s = time.perf_counter()
            await until(lambda: _shows(user, room), pause_s=_PAUSE_S)
            shown_s = time.perf_counter()
            await until(lambda: _knows_all(user, room), pause_s=_PAUSE_S)
            full_s = time.perf_counter()
        return {
            "join_s": joined_s - began_s,
            "sync_s": shown_s - began_s,
            "full_s": full_s - began_s,
            "peak_mb": joiner.processes.peak_rss_kb() / 1024,
            "cpu_s": sum(usage.cpu_s.values()),
        }


async def _shows(user: User, room: LargeRoom) -> bool:
    """Whether a first sync has the room, its name, and the user's own join."""
    answer = await user.sync(wanted=LAZY_MEMBERS)
    shown = answer["rooms"].get("join", {}).get(room.room_id)
    if shown is None:
        return False
    events = [*shown["state"]["events"], *shown["timeline"]["events"]]
    keys = {(event["type"], event.get("state_key")) for event in events}
    return {("m.room.name", ""), ("m.room.member", user.user_id)} <= keys


async def _knows_all(user: User, room: LargeRoom) -> bool:
    return room.members <= await user.joined_members(room.room_id)
