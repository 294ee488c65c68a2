"""The first sync of someone who is in many rooms."""

import asyncio
import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.client import User, check, each
from bench.processes import Usage, measured
from bench.scenarios.subject import Metrics, Place, Sent, Subject

# What a server does after a login (telling others of the device) is not measured.
_AFTER_LOGIN_S: Final = 1.5
_OTHER_USERS_PER_MEMBER: Final = 3
_SPEAKERS: Final = 3


@dataclass(frozen=True, slots=True)
class InitialSync:
    """With lazy members, each time on a new device. *messages* fill a timeline."""

    rooms: int = 200
    members: int = 10
    messages: int = 20
    repeats: int = 3

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        me, newest = await self._rooms(subject)
        took_s: list[float] = []
        total = Usage()
        for _ in range(self.repeats):
            device = await subject.homeserver.login(me)
            await asyncio.sleep(_AFTER_LOGIN_S)
            async with measured(subject.processes) as usage:
                answer = await device.sync()
            took_s.append(usage.wall_s)
            total.add(usage)
            _verify(answer["rooms"]["join"], newest)
        return total.cpu_ms_per(self.repeats) | {
            "wall_ms": statistics.median(took_s) * 1000
        }

    async def _rooms(self, subject: Subject) -> tuple[User, dict[str, str]]:
        """The user, and the newest event of each room."""
        others_count = _OTHER_USERS_PER_MEMBER * (self.members - 1)
        me, *others = await subject.homeserver.users(1 + others_count)
        for number, user in enumerate(others):
            await user.set_display_name(f"Member {number}")

        async def build(number: int) -> tuple[str, str]:
            members = random.Random(number).sample(others, self.members - 1)
            room_id = await members[0].create_room(
                name=f"Room {number}", topic="What this room is about"
            )
            for user in (*members[1:], me):
                await user.join(room_id)
            sent, event_id = Sent(), ""
            for message in range(self.messages):
                # Few speak, as in life.
                speaker = members[message % _SPEAKERS]
                event_id = await sent.send(Place(speaker, room_id))
            return room_id, event_id

        return me, dict(await each(range(self.rooms), build, at_once=8))


def _verify(rooms: Mapping[str, Any], newest: Mapping[str, str]) -> None:
    check(rooms.keys() == newest.keys(), f"{len(rooms)} rooms, joined {len(newest)}")
    for room_id, room in rooms.items():
        events = room["timeline"]["events"]
        check(events[-1]["event_id"] == newest[room_id], "the newest event is missing")
        types = {event["type"] for event in room["state"]["events"]}
        check({"m.room.create", "m.room.name"} <= types, "state is missing")
