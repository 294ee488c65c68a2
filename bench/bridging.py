"""What a bridge does all day, asked of Tremula and of Synapse over HTTP.

``python -m bench.bridging [SYNAPSE_VENV]`` starts the servers on SQLite, one after the
other, with one application service, and prints how many ghosts it registers in a
second, how long it takes to have them all in a new room (with Synapse, by one join
each), and when the bridge has been told of a message.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from bench.appservices import Bridge, running_bridge
from bench.client import check, each
from bench.processes import SERVER, measured
from bench.servers import Program, Server, running, tremula
from bench.synapse import synapse

AT_ONCE: Final = 16
MESSAGES: Final = 200
TOKEN: Final = "a-token-of-the-bench"  # noqa: S105 - of a server that goes at once
_V3: Final = "/_matrix/client/v3"
_JSON: Final = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server, how many ghosts it is asked to bear, and whether it can be hungry."""

    program: Program
    ghosts: int
    is_hungry: bool


@dataclass(slots=True)
class BridgeBot:
    """The bridge's side of the client-server API."""

    session: aiohttp.ClientSession
    server_name: str
    txns: int = 0

    def ghost(self, number: int) -> str:
        """The ID of a ghost."""
        return f"@bench_{number}:{self.server_name}"

    async def call(
        self, method: str, path: str, body: object = None, **query: str
    ) -> dict[str, Any]:
        """Make a request that must succeed."""
        async with self.session.request(
            method, _V3 + path, json=body or {}, params=query, headers=_JSON
        ) as response:
            answer: dict[str, Any] = await response.json()
            check(response.status == 200, f"{method} {path}: {answer}")
            return answer

    async def register(self, localpart: str) -> None:
        """Register a ghost, or the bot."""
        body = {
            "type": "m.login.application_service",
            "username": localpart,
            "inhibit_login": True,
        }
        await self.call("POST", "/register", body)

    async def create_room(self, ghosts: Sequence[str], *, is_hungry: bool) -> str:
        """A room with all *ghosts* joined, in the way that the server knows."""
        if is_hungry:
            wanted: dict[str, object] = {"com.beeper.initial_members": ghosts}
            return str((await self.call("POST", "/createRoom", wanted))["room_id"])
        wanted = {"preset": "public_chat"}
        room_id = str((await self.call("POST", "/createRoom", wanted))["room_id"])

        async def join(ghost: str) -> None:
            await self.call("POST", f"/join/{quote(room_id)}", user_id=ghost)

        await each(ghosts, join, at_once=AT_ONCE)
        return room_id

    async def send(self, room_id: str, ghost: str) -> str:
        """Send a message as a ghost; its event ID."""
        self.txns += 1
        path = f"/rooms/{quote(room_id)}/send/m.room.message/{self.txns}"
        body = {"msgtype": "m.text", "body": "hello"}
        return str((await self.call("PUT", path, body, user_id=ghost))["event_id"])


def main(arguments: Sequence[str]) -> None:
    """Print the figures."""
    _run(lambda folder: Candidate(tremula("Tremula", folder, None), 1_000, True))
    if arguments:
        venv = Path(arguments[0])
        _run(
            lambda folder: Candidate(
                synapse("Synapse", venv, folder, None), 200, is_hungry=False
            )
        )


def _run(candidate_in: Callable[[Path], Candidate]) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_measure(candidate_in(Path(folder)), Path(folder)))


async def _measure(candidate: Candidate, folder: Path) -> None:
    async with running_bridge() as bridge:
        program = with_registration(candidate.program, folder, bridge.url)
        with running(program, None, starts=1) as server:
            await _measure_running(candidate, server, bridge)


async def _measure_running(
    candidate: Candidate, server: Server, bridge: Bridge
) -> None:
    [url] = server.addresses.all
    async with aiohttp.ClientSession(url) as session:
        bot = BridgeBot(session, server.server_name)
        await bot.register("bench_bot")
        count = candidate.ghosts
        began_s = time.perf_counter()
        async with measured(server.processes) as usage:
            names = [f"bench_{number}" for number in range(count)]
            await each(names, bot.register, at_once=AT_ONCE)
        took_s = time.perf_counter() - began_s
        cpu_ms = usage.cpu_s[SERVER] / count * 1000
        _say(
            f"{server.name}: {count / took_s:,.0f} ghosts registered a second,"
            f" {cpu_ms:.2f} ms CPU each"
        )
        ghosts = [bot.ghost(number) for number in range(count)]
        began_s = time.perf_counter()
        room_id = await bot.create_room(ghosts, is_hungry=candidate.is_hungry)
        took_s = time.perf_counter() - began_s
        _say(
            f"{server.name}: a room with {count} ghosts after {took_s:.2f} s,"
            f" {took_s / count * 1000:.2f} ms each"
        )
        took_ms = await _told_ms(bot, bridge, room_id)
        _say(
            f"{server.name}: told of a message after"
            f" {statistics.median(took_ms):.1f} ms, one of twenty after"
            f" {statistics.quantiles(took_ms, n=20)[-1]:.1f} ms"
        )


async def _told_ms(bot: BridgeBot, bridge: Bridge, room_id: str) -> list[float]:
    took_ms: list[float] = []
    for number in range(MESSAGES):
        began_s = time.perf_counter()
        event_id = await bot.send(room_id, bot.ghost(number % 10))
        took_ms.append((await bridge.told_s(event_id) - began_s) * 1000)
    return took_ms


def with_registration(program: Program, folder: Path, url: str) -> Program:
    """*program* with an application service whose token is `TOKEN`."""
    file = folder / "bench.yaml"
    namespaces = {
        "users": [{"regex": "@bench_.*", "exclusive": True}],
        "aliases": [],
        "rooms": [],
    }
    registration = {
        "id": "bench",
        "url": url,
        "as_token": TOKEN,
        "hs_token": "another-token-of-the-bench",
        "sender_localpart": "bench_bot",
        "rate_limited": False,
        "namespaces": namespaces,
    }
    # YAML reads JSON.
    file.write_text(json.dumps(registration))
    config = folder / "homeserver.yaml"
    if config.exists():
        settings = json.loads(config.read_text())
        settings["app_service_config_files"] = [str(file)]
        config.write_text(json.dumps(settings))
        return program
    files = {"TREMULA_APPSERVICES__FILES": json.dumps([str(file)])}
    return replace(program, environment={**program.environment, **files})


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
