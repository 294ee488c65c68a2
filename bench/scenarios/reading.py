"""Paging back through a long room."""

from dataclasses import dataclass

from bench.processes import measured
from bench.scenarios.subject import Metrics, Place, Sent, Subject, shared_room


@dataclass(frozen=True, slots=True)
class Pages:
    """A room of many messages, read by `/messages` in pages of 100."""

    senders: int = 8
    events: int = 10_000

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        users = await subject.homeserver.users(self.senders)
        room_id = await shared_room(users)
        places = [Place(user, room_id) for user in users]
        sent = Sent()
        await sent.send_all(places, self.events)
        pages = 0
        async with measured(subject.processes) as usage:
            async for _ in users[0].pages(room_id):
                pages += 1
        await sent.verify(places[0])
        return usage.cpu_ms_per(pages) | {"pages": pages}
