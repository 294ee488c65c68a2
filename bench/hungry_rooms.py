"""What a bridge costs that creates rooms with their members and brings history.

``python -m bench.hungry_rooms [postgres]`` prints how long it takes to append and to
prepend 10,000 messages in one request, to create a room with 1,000 ghosts, and to
import a mean user of bridges, with the bytes that takes on the disk. The server is in
this process, without sockets; each commit is fsynced.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

from tests.http_client import Client
from tests.postgres_server import running_postgres
from tests.server import Server, config_for, running_server
from tremula.infra.config import PostgresUrl, SqliteFile
from tremula.infra.db import Engine
from tremula.protocol.appservices import parse_registration

BATCH: Final = 10_000
ROOM_GHOSTS: Final = 1_000
USER_GHOSTS: Final = 4_716
USER_ROOMS: Final = 300
USER_EVENTS: Final = 100_000
AT_ONCE: Final = 16
# As `initdb` leaves it: with fsync.
_POSTGRES_DEFAULTS: Final[dict[str, str]] = {}
TEXT: Final = "Has anybody seen the otter that lives below the old bridge? "


def main(arguments: Sequence[str]) -> None:
    """Print the figures."""
    asyncio.run(_measure(on_postgres="postgres" in arguments))


async def _measure(*, on_postgres: bool) -> None:
    with TemporaryDirectory() as folder:
        async with _server(Path(folder), on_postgres=on_postgres) as server:
            bot = await _bridge(server)
            await _batches(bot)
            await _room_of_ghosts(bot)
    with TemporaryDirectory() as folder:
        async with _server(Path(folder), on_postgres=on_postgres) as server:
            before_bytes = await _size_bytes(server)
            await _mean_user(await _bridge(server))
            size_bytes = await _size_bytes(server) - before_bytes
            _say(f"on the disk: {size_bytes / 1e6:.1f} MB")


_TOKEN: Final = "a-token-of-the-bench"  # noqa: S105 - of a server that goes at once
_REGISTRATION: Final = {
    "id": "bench",
    "url": None,
    "as_token": _TOKEN,
    "hs_token": "another-token-of-the-bench",
    "sender_localpart": "bench_bot",
    "namespaces": {"users": [{"regex": "@bench_.*", "exclusive": True}]},
}


@asynccontextmanager
async def _server(folder: Path, *, on_postgres: bool) -> AsyncIterator[Server]:
    if on_postgres:
        with running_postgres(_POSTGRES_DEFAULTS) as postgres:
            url = PostgresUrl(postgres.url("postgres"))
            async with running_server(config_for(url, folder)) as server:
                yield server
        return
    async with running_server(
        config_for(SqliteFile(folder / "bench.db"), folder)
    ) as server:
        yield server


async def _bridge(server: Server) -> Client:
    await server.add_appservice(parse_registration(_REGISTRATION))
    bot = Client(server.http, _TOKEN)
    await _register(bot, "bench_bot")
    return bot


async def _register(bot: Client, localpart: str) -> None:
    body = {
        "type": "m.login.application_service",
        "username": localpart,
        "inhibit_login": True,
    }
    await _done(bot.post("/v3/register", body))


async def _batches(bot: Client) -> None:
    room_id = await _create(bot, [])
    for forward in (True, False):
        watch = _Stopwatch()
        await _send(bot, room_id, BATCH, forward=forward)
        _say(
            f"{BATCH} {'appended' if forward else 'prepended'}:"
            f" {BATCH / watch.wall_s:,.0f} events/s,"
            f" {1e6 * watch.cpu_s / BATCH:.0f} µs CPU each"
        )


async def _room_of_ghosts(bot: Client) -> None:
    ghosts = [f"@bench_ghost{number}:test" for number in range(ROOM_GHOSTS)]
    watch = _Stopwatch()
    await _create(bot, ghosts)
    _say(
        f"room with {ROOM_GHOSTS} ghosts created: {watch.wall_s:.2f} s,"
        f" {watch.cpu_s:.2f} s CPU"
    )


async def _mean_user(bot: Client) -> None:
    watch = _Stopwatch()
    gate = asyncio.Semaphore(AT_ONCE)

    async def register(number: int) -> None:
        async with gate:
            await _register(bot, f"bench_user{number}")

    await asyncio.gather(*map(register, range(USER_GHOSTS)))
    _say(
        f"{USER_GHOSTS} ghosts registered: {USER_GHOSTS / watch.wall_s:,.0f} a second,"
        f" {1e3 * watch.cpu_s / USER_GHOSTS:.2f} ms CPU each"
    )
    for number in range(USER_ROOMS):
        ghosts = [
            f"@bench_user{n}:test" for n in range(number, USER_GHOSTS, USER_ROOMS)
        ]
        room_id = await _create(bot, ghosts)
        await _send(
            bot, room_id, USER_EVENTS // USER_ROOMS, forward=True, senders=ghosts
        )
    _say(
        f"a mean user, {USER_GHOSTS} ghosts, {USER_ROOMS} rooms, {USER_EVENTS} events:"
        f" {watch.wall_s:.1f} s, {watch.cpu_s:.1f} s CPU"
    )


async def _create(bot: Client, members: Sequence[str]) -> str:
    wanted = {
        "name": "A room",
        "com.beeper.bridge_name": "bench",
        "com.beeper.initial_members": members,
    }
    answer = await _done(bot.post("/v3/createRoom", wanted))
    room_id: str = answer["room_id"]
    return room_id


async def _send(
    bot: Client,
    room_id: str,
    count: int,
    *,
    forward: bool,
    senders: Sequence[str] = ("@bench_ghost0:test",),
) -> None:
    began_ms = 1_600_000_000_000
    events = [
        {
            "event_id": f"${room_id[1:12]}{forward}{number:030}:bench.org",
            "type": "m.room.message",
            "sender": senders[number % len(senders)],
            "origin_server_ts": began_ms + number,
            "content": {"msgtype": "m.text", "body": TEXT * (1 + number % 3)},
        }
        for number in range(count)
    ]
    path = f"/unstable/com.beeper.backfill/rooms/{quote(room_id)}/batch_send"
    await _done(bot.post(path, {"events": events, "forward": forward}))


async def _done(response: Awaitable[Any]) -> Any:  # noqa: ANN401 - JSON
    answer = await response
    assert answer.status == 200, answer.body
    return answer.json


async def _size_bytes(server: Server) -> int:
    if server.db.engine is Engine.POSTGRES:
        row = await server.db.first("SELECT pg_database_size(current_database())")
    else:
        row = await server.db.first(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
    assert row is not None
    return int(row[0])


class _Stopwatch:
    """Wall time, and CPU time of this process with its client."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self._wall_s

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu_s


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
