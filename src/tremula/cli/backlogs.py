"""The queues of a server, as ``tremula cluster status`` shows them."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from tremula.cli.table import print_table
from tremula.features.remote_devices import storage as device_lists
from tremula.features.remote_devices import untold_storage
from tremula.features.to_device import storage as to_device
from tremula.infra.backlog import Backlog
from tremula.infra.db import Reader
from tremula.infra.federation import backlog_storage as federation
from tremula.rooms import partial_storage


class Queue(Struct, frozen=True):
    """A kind of work; ``place`` is what its things wait for, if that is not clear."""

    name: str
    place: str
    read: Callable[[Reader], Awaitable[Backlog]]


_QUEUES: Final = (
    Queue("events for other servers", "server", federation.events_backlog),
    Queue("EDUs for other servers", "server", federation.edus_backlog),
    Queue("other servers that do not answer", "", federation.silent_servers),
    Queue("device changes to tell others", "user", untold_storage.untold_backlog),
    Queue("device lists to fetch", "", device_lists.wanted_backlog),
    Queue("rooms joined, state incomplete", "", partial_storage.partial_backlog),
    Queue("events waiting for that state", "room", partial_storage.deferred_backlog),
    Queue("to-device messages to fetch", "device", to_device.inbox_backlog),
)


Backlogs = list[tuple[Queue, Backlog]]


async def read_backlogs(db: Reader) -> Backlogs:
    """All queues, and what waits in each."""
    return [(queue, await queue.read(db)) for queue in _QUEUES]


def print_backlogs(backlogs: Backlogs, *, now_ms: int) -> None:
    """Write them to standard output, as a table."""
    print_table(
        ("queue", "waiting", "for", "oldest"),
        [_row(queue, backlog, now_ms) for queue, backlog in backlogs],
    )


def _row(queue: Queue, backlog: Backlog, now_ms: int) -> tuple[str, ...]:
    place = ""
    if queue.place and backlog.places:
        place = f"{backlog.places} {queue.place}{'s' if backlog.places > 1 else ''}"
    oldest = "" if backlog.since_ms is None else _age(now_ms - backlog.since_ms)
    return queue.name, str(backlog.waiting), place, oldest


def _age(age_ms: int) -> str:
    """In the largest unit of which there are at least two."""
    age_s = max(0, age_ms) // 1000
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= 2 * length_s:
            return f"{age_s // length_s} {unit}"
    return f"{age_s} s"
