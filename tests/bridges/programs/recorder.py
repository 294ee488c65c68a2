"""A bridge that only writes down what it is sent, so that it may be killed anytime.

Started with HOMESERVER REGISTRATION PORT FILE. A transaction is a line of the file, and
is acknowledged once that is on disk; one that comes again is not written again.
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, web

from tests.bridges.programs import appservice
from tests.bridges.programs.lines import commands, say

_BODY_BYTES_MAX = 1 << 26


class Record:
    """The file, and what it has of each transaction."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        # The last one may be half of what was to be written.
        whole = [line for line in lines if line.endswith("\n")]
        path.write_text("".join(whole))
        self._events = {each["txn"]: each["events"] for each in map(json.loads, whole)}
        self._file = path.open("a")

    def add(self, txn: str, events: list[Any]) -> None:
        if txn in self._events:
            assert self._events[txn] == events, txn
            return
        self._events[txn] = events
        self._file.write(json.dumps({"txn": txn, "events": events}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


async def main(homeserver: str, registration: str, port: str, file: str) -> None:
    told = appservice.read(registration)
    record = Record(Path(file))

    async def push(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {told['hs_token']}"
        # As a body that is sent again is as it was, so is what is in it.
        record.add(request.match_info["txn"], (await request.json())["events"])
        say(seen="transaction")
        return web.json_response({})

    async def ping(_request: web.Request) -> web.Response:
        return web.json_response({})

    application = web.Application(client_max_size=_BODY_BYTES_MAX)
    application.router.add_put("/_matrix/app/v1/transactions/{txn}", push)
    application.router.add_post("/_matrix/app/v1/ping", ping)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port)).start()
    say(seen="ready")
    url = f"{homeserver}/_matrix/client/v1/appservice/{told['id']}/ping"
    headers = {"Authorization": f"Bearer {told['as_token']}"}
    # A homeserver that isn't there sends everything when it is.
    with contextlib.suppress(ClientConnectionError):
        async with ClientSession(headers=headers) as session:
            await session.post(url, json={})
    async for _ in commands():
        pass


asyncio.run(main(*sys.argv[1:]))
