"""How soon application services are told, and what they cost those who have none.

``python -m bench.appservices`` starts servers on SQLite, as a user would, and prints

- the milliseconds from the request that sends a message until a bridge has been told of
  it, where a thousand application services are registered;
- the CPU time of a message in a room that none of them is in, by how many there are.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson
from aiohttp import web

from bench.client import Homeserver, User, connected
from bench.processes import SERVER, measured
from bench.servers import HOST, Server, running, tremula
from tests.postgres_server import free_port
from tremula.app import open_app
from tremula.infra.config import Config, SqliteFile
from tremula.protocol.appservices import parse_registration
from tremula.protocol.identifiers import ServerName

REGISTERED: Final = (0, 1_000, 5_000)
MESSAGES: Final = 500
UNWATCHED_MESSAGES: Final = 3_000
_WARM_UP: Final = 50


class Bridge:
    """Says when it was told of events."""

    def __init__(self) -> None:
        self._told: dict[str, asyncio.Future[float]] = {}
        self.url = ""

    def told_s(self, event_id: str) -> asyncio.Future[float]:
        """When it was told of an event, which may be to come."""
        future = asyncio.get_running_loop().create_future()
        return self._told.setdefault(event_id, future)

    async def answer(self, request: web.Request) -> web.Response:
        """Take a transaction."""
        now_s = time.perf_counter()
        for event in orjson.loads(await request.read())["events"]:
            self.told_s(event["event_id"]).set_result(now_s)
        return web.json_response({})


def main() -> None:
    """Print the figures."""
    for count in REGISTERED:
        asyncio.run(_measure(count))


async def _measure(count: int) -> None:
    async with running_bridge() as bridge:
        with TemporaryDirectory() as folder:
            program = tremula("Tremula", Path(folder), None)
            await _register(Path(folder), program.server_name, bridge.url, count)
            with running(program, None, starts=1) as server:
                await _measure_with(server, bridge, count)


async def _measure_with(server: Server, bridge: Bridge, count: int) -> None:
    async with connected(server.addresses) as homeserver:
        user = await homeserver.register()
        if count:
            room_id = await user.create_room()
            await (await _bot(homeserver, server.server_name)).join(room_id)
            took_ms = await _latencies_ms(bridge, user, room_id)
            _say(
                f"{count} registered: told after {statistics.median(took_ms):.1f} ms,"
                f" one of twenty after {statistics.quantiles(took_ms, n=20)[-1]:.1f} ms"
            )
        room_id = await user.create_room()
        await _send_many(user, room_id, _WARM_UP)
        async with measured(server.processes) as usage:
            await _send_many(user, room_id, UNWATCHED_MESSAGES)
        cost_us = usage.cpu_s[SERVER] / UNWATCHED_MESSAGES * 1e6
        _say(f"{count} registered: {cost_us:.0f} µs of CPU a message of nobody's room")


async def _latencies_ms(bridge: Bridge, user: User, room_id: str) -> list[float]:
    took_ms: list[float] = []
    for number in range(_WARM_UP + MESSAGES):
        began_s = time.perf_counter()
        told_s = await bridge.told_s(await user.send(room_id, str(number)))
        took_ms.append((told_s - began_s) * 1000)
    return took_ms[_WARM_UP:]


async def _send_many(user: User, room_id: str, count: int) -> None:
    for number in range(count):
        await user.send(room_id, str(number))


async def _bot(homeserver: Homeserver, server_name: ServerName) -> User:
    """The user of the first application service."""
    as_token = _as_token(0)
    body = {"type": "m.login.application_service", "username": "_bridge0_bot"}
    await homeserver.call("POST", "/register", token=as_token, body=body)
    return User(homeserver, f"@_bridge0_bot:{server_name}", "", as_token, "")


async def _register(
    folder: Path, server_name: ServerName, url: str, count: int
) -> None:
    config = Config(
        server_name=server_name,
        data_dir=folder,
        database=SqliteFile(Path("tremula.db")),
    )
    async with open_app(config) as app:
        for number in range(count):
            await app.appservices.add(
                parse_registration(
                    {
                        "id": f"bridge{number}",
                        "url": url,
                        "as_token": _as_token(number),
                        "hs_token": f"hs-token-{number}",
                        "sender_localpart": f"_bridge{number}_bot",
                        "namespaces": {
                            "users": [
                                {"regex": f"@_bridge{number}_.*", "exclusive": True}
                            ]
                        },
                    }
                )
            )


def _as_token(number: int) -> str:
    return f"as-token-{number}"


@asynccontextmanager
async def running_bridge() -> AsyncIterator[Bridge]:
    """A bridge that answers on a port of its own."""
    bridge = Bridge()
    application = web.Application()
    application.router.add_put("/_matrix/app/v1/transactions/{id}", bridge.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, free_port())
        await site.start()
        bridge.url = site.name
        yield bridge
    finally:
        await runner.cleanup()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
