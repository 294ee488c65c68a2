"""What it costs a send that the room is another process's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.client import User
from bench.scenarios.subject import Metrics, Place, Sent, Subject, percentile
from bench.servers import Holders

_WARM_UP: Final = 5


@dataclass(frozen=True, slots=True)
class Travelling:
    """Sends one at a time, to each room's process and to another, in turn."""

    rooms: int = 20
    messages_each: int = 40

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        (user,) = await subject.homeserver.users(1)
        room_ids = [await user.create_room() for _ in range(self.rooms)]
        sent = Sent()
        stays_ms: list[float] = []
        travels_ms: list[float] = []
        for room_id in room_ids:
            here, there = await _askers(subject, user, room_id)
            for asker in (here, *there):
                await _latencies_ms(sent, Place(asker, room_id), _WARM_UP)
            for _ in range(self.messages_each // 4):
                stays_ms += await _latencies_ms(sent, Place(here, room_id), 4)
                for asker in there:
                    travels_ms += await _latencies_ms(sent, Place(asker, room_id), 4)
            await sent.verify(Place(user, room_id))
        stays = percentile(stays_ms, 0.5)
        if not travels_ms:
            return {"stays_p50_ms": stays}
        travels = percentile(travels_ms, 0.5)
        return {
            "stays_p50_ms": stays,
            "travels_p50_ms": travels,
            "travel_ms": travels - stays,
        }


async def _askers(
    subject: Subject, user: User, room_id: str
) -> tuple[User, Sequence[User]]:
    """*user* at the room's process, and at the others if there are any."""
    holders: Holders | None = subject.server.holders
    if holders is None:
        return user, ()
    holder = await holders.url_of(room_id)
    others = [url for url in subject.server.addresses.all if url != holder]
    return _at(subject, user, holder), [_at(subject, user, url) for url in others]


def _at(subject: Subject, user: User, url: str) -> User:
    # It goes on counting its transaction IDs.
    return replace(user, homeserver=subject.homeserver.only_at(url))


async def _latencies_ms(sent: Sent, place: Place, count: int) -> list[float]:
    latencies_ms: list[float] = []
    for _ in range(count):
        began_s = time.perf_counter()
        await sent.send(place)
        latencies_ms.append((time.perf_counter() - began_s) * 1000)
    return latencies_ms
