"""What sliding sync costs somebody who is in thousands of rooms.

``python -m bench.sliding_rooms`` starts a server on SQLite. It measures the first
answer for a window of 20 rooms, on a new device each time, and the one to a position
after which nothing has come.
"""

import asyncio
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from bench.client import Homeserver, User, check, connected, each
from bench.processes import SERVER, Processes, measured
from bench.servers import Server, running, tremula

ROOMS: Final = 5_000
WINDOW: Final = 20
DEVICES: Final = 9
POLLS: Final = 500

_PATH: Final = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
# As Element X asks for its list of rooms.
_STATE: Final = (
    *("m.room.create", "m.room.name", "m.room.avatar", "m.room.encryption"),
    *("m.room.topic", "m.room.canonical_alias", "m.room.join_rules"),
)
_LIST: Final = {
    "ranges": [[0, WINDOW - 1]],
    "timeline_limit": 1,
    "required_state": [
        *([event_type, ""] for event_type in _STATE),
        *(["m.room.member", "$ME"], ["m.room.member", "$LAZY"]),
    ],
}


def main() -> None:
    """Print the figures."""
    with TemporaryDirectory() as folder:
        program = tremula("Tremula", Path(folder), None)
        with running(program, None, starts=1) as server:
            asyncio.run(_measure(server))


async def _measure(server: Server) -> None:
    async with connected(server.addresses) as homeserver:
        me = await homeserver.register()
        newest = dict(
            await each(range(ROOMS), lambda number: _room(me, number), at_once=8)
        )
        first_ms = [
            await _first(homeserver, server.processes, me, newest)
            for _ in range(DEVICES)
        ]
        nothing_ms = await _nothing_new(me, server.processes)
    sys.stdout.write(
        f"a window of {WINDOW} of {ROOMS:,} rooms, on {DEVICES} new devices:"
        f" {statistics.median(first_ms):.1f} ms CPU, the first {first_ms[0]:.1f}\n"
        f"a position with nothing new: {nothing_ms:.2f} ms CPU\n"
    )


async def _room(me: User, number: int) -> tuple[str, str]:
    """A room, and its newest event."""
    room_id = await me.create_room(name=f"Room {number}", topic="What it is about")
    return room_id, await me.send(room_id, f"message {number}")


async def _first(
    homeserver: Homeserver,
    processes: Processes,
    me: User,
    newest: Mapping[str, str],
) -> float:
    device = await homeserver.login(me)
    await asyncio.sleep(0.2)
    async with measured(processes) as usage:
        answer = await _sync(device)
    check(answer["lists"]["all"]["count"] == len(newest), "rooms are missing")
    check(len(answer["rooms"]) == WINDOW, f"{len(answer['rooms'])} rooms came")
    for room_id, room in answer["rooms"].items():
        event_id = room["timeline"][-1]["event_id"]
        check(event_id == newest[room_id], "the newest event is missing")
    return usage.cpu_s[SERVER] * 1000


async def _nothing_new(me: User, processes: Processes) -> float:
    position = (await _sync(me))["pos"]
    async with measured(processes) as usage:
        for _ in range(POLLS):
            answer = await _sync(me, position)
            check(not answer["rooms"], "something came")
            position = answer["pos"]
    return usage.cpu_s[SERVER] / POLLS * 1000


async def _sync(device: User, position: str = "") -> dict[str, Any]:
    server = device.homeserver
    query = {"timeout": "0"} | ({"pos": position} if position else {})
    answer = await server.connections.request(
        server.addresses.all[0],
        "POST",
        f"{_PATH}?{urlencode(query)}",
        headers=f"Authorization: Bearer {device.token}\r\n",
        body=orjson.dumps({"conn_id": "bench", "lists": {"all": _LIST}}),
    )
    body: dict[str, Any] = orjson.loads(answer.body)
    check(answer.status == 200, str(body)[:300])
    return body


if __name__ == "__main__":
    main()
