"""What a process keeps in memory for each user, room and waiting client."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from bench.client import Homeserver, User, connected, each
from bench.long_polls import Inbox, long_polling
from bench.processes import Processes
from bench.scenarios.subject import Place, Sent
from bench.servers import running, tremula
from bench.starting import new_folder, new_postgres

_WAIT_S: Final = 30
_SETTLE_S: Final = 1


@dataclass(frozen=True, slots=True)
class Held:
    """By how much *count* of something made the process grow, each."""

    what: str
    count: int
    kb_each: float


async def measure_memory(scale: int) -> list[Held]:
    """So many users and rooms, each after the other, on a new server."""
    with (
        new_folder(None) as folder,
        new_postgres(None) as postgres,
        running(tremula("Tremula", folder, postgres), postgres, starts=1) as server,
    ):
        async with connected(server.addresses) as homeserver:
            # What is loaded with the first request of a kind is no user's.
            await _warm_up(homeserver)
            steps = _steps(homeserver, scale)
            return [each async for each in _grown(server.processes, steps)]


async def _warm_up(homeserver: Homeserver) -> None:
    users = await homeserver.users(20)
    room_id = await users[0].create_room()
    await each(users[1:], lambda user: user.join(room_id), at_once=8)
    await each(users, User.sync, at_once=8)


async def _grown(
    processes: Processes, steps: AsyncIterator[tuple[str, int]]
) -> AsyncIterator[Held]:
    before_kb = processes.rss_kb()
    yield Held("a process that nobody uses, after its first requests", 1, before_kb)
    async for what, count in steps:
        now_kb = processes.rss_kb()
        yield Held(what, count, (now_kb - before_kb) / count)
        before_kb = now_kb


async def _steps(homeserver: Homeserver, scale: int) -> AsyncIterator[tuple[str, int]]:
    users = await homeserver.users(scale)
    yield "a user who has registered", scale
    room_ids = await each(users, User.create_room, at_once=8)
    yield "a room of one member", len(room_ids)
    large = room_ids[0]
    await each(users[1:], lambda user: user.join(large), at_once=8)
    yield "a member of a room", scale - 1
    await each(users, User.sync, at_once=8)
    yield "a user who has synced", scale
    inbox = Inbox()
    async with long_polling(users, inbox, timeout_s=_WAIT_S):
        await asyncio.sleep(_SETTLE_S)
        yield "a client that waits for news", scale
        places = [Place(*each) for each in zip(users, room_ids, strict=True)]
        await Sent().send_all(places, 10 * scale)
        yield "a message, until the caches are full", 10 * scale
