"""How many ghosts a bridge registers in a second, over HTTP.

``python -m bench.ghosts`` starts a server on SQLite with one application service. The
client writes requests as bytes, so that it is not what is measured.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.appservices import running_bridge
from bench.bridging import TOKEN, with_registration
from bench.client import check
from bench.processes import SERVER, measured
from bench.servers import HOST, Server, running, tremula

GHOSTS: Final = 6_000
CONNECTIONS: Final = 64


def main() -> None:
    """Print the figure."""
    with TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> None:
    async with running_bridge() as bridge:
        program = with_registration(
            tremula("Tremula", folder, None), folder, bridge.url
        )
        with running(program, None, starts=1) as server:
            await _register_all(server, program.port)


async def _register_all(server: Server, port: int) -> None:
    names = [f"bench_{number}" for number in range(GHOSTS)]
    began_s = time.perf_counter()
    async with measured(server.processes) as usage:
        workers = (_register(port, names[n::CONNECTIONS]) for n in range(CONNECTIONS))
        await asyncio.gather(*workers)
        took_s = time.perf_counter() - began_s
    sys.stdout.write(
        f"{GHOSTS / took_s:,.0f} ghosts a second,"
        f" {usage.cpu_s[SERVER] / GHOSTS * 1000:.2f} ms CPU each\n"
    )


async def _register(port: int, names: Sequence[str]) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    for name in names:
        writer.write(_request(name))
        head = await reader.readuntil(b"\r\n\r\n")
        check(b" 200 " in head[:20], head.decode())
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()


def _request(name: str) -> bytes:
    registering = {
        "type": "m.login.application_service",
        "username": name,
        "inhibit_login": True,
    }
    body = json.dumps(registering).encode()
    head = (
        f"POST /_matrix/client/v3/register HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
