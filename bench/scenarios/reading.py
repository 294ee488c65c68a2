"""Paging back through a long room."""

from dataclasses import dataclass
from typing import Final

from bench.processes import measured, quiet
from bench.scenarios.subject import Metrics, Place, Sent, Subject, shared_room

_INDEXED_S: Final = 6


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
        # The search index takes them in a little later: that is no page's cost.
        await quiet(subject.processes, for_s=_INDEXED_S)
        pages = 0
        async with measured(subject.processes) as usage:
            async for _ in users[0].pages(room_id):
                pages += 1
        await sent.verify(places[0])
        return usage.cpu_ms_per(pages) | {"pages": pages}
