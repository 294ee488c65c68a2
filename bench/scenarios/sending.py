"""Sending messages while nobody syncs."""

from dataclasses import dataclass
from typing import Final

from bench.processes import measured
from bench.scenarios.subject import Metrics, Place, Sent, Subject, shared_room

_WARM_UP_EACH: Final = 5


@dataclass(frozen=True, slots=True)
class DurableSend:
    """Some senders at once, in a few small rooms."""

    senders: int = 16
    rooms: int = 8
    messages: int = 3_200

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        users = await subject.homeserver.users(self.senders)
        groups = [users[number :: self.rooms] for number in range(self.rooms)]
        room_ids = [await shared_room(group) for group in groups]
        places = [
            Place(user, room_id)
            for group, room_id in zip(groups, room_ids, strict=True)
            for user in group
        ]
        return await measured_sends(subject, places, self.messages)


@dataclass(frozen=True, slots=True)
class SendInRoom:
    """Some members of one room at once."""

    members: int = 100
    senders: int = 16
    messages: int = 1_600

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        users = await subject.homeserver.users(self.members)
        room_id = await shared_room(users)
        places = [Place(user, room_id) for user in users[: self.senders]]
        return await measured_sends(subject, places, self.messages)


async def measured_sends(subject: Subject, places: list[Place], count: int) -> Metrics:
    """Send *count* messages from *places* at once, and look whether they are there."""
    sent = Sent()
    await sent.send_all(places, _WARM_UP_EACH * len(places))
    async with measured(subject.processes) as usage:
        await sent.send_all(places, count)
    for place in {place.room_id: place for place in places}.values():
        await sent.verify(place)
    return usage.cpu_ms_per(count) | {"per_s": count / usage.wall_s}
