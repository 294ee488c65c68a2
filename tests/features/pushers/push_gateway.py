"""A push gateway: HTTPS on a loopback port, with answers that the test chooses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.fakes.remote import (
    Received,
    http_answer,
    running_remote,
    until_hung_up,
)


@dataclass(slots=True)
class PushGateway:
    """What it was told, and what it answers: a status, and rejected pushkeys; nothing
    at all if it *is_silent*.
    """

    url: str = ""
    status: int = 200
    is_silent: bool = False
    rejected: list[str] = field(default_factory=list)
    notified: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)

    async def take(self) -> dict[str, Any]:
        """The oldest notification that was not taken yet; waits for it."""
        return await self.notified.get()

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        assert (request.method, request.uri) == ("POST", "/_matrix/push/v1/notify")
        assert request.headers["content-type"] == "application/json"
        self.notified.put_nowait(orjson.loads(request.body)["notification"])
        if self.is_silent:
            await until_hung_up(writer)
        body = orjson.dumps({"rejected": self.rejected})
        writer.write(http_answer(self.status, body))


@asynccontextmanager
async def running_gateway(folder: Path) -> AsyncIterator[PushGateway]:
    """Run a push gateway, whose certificate is that of ``trusted_ca_file``."""
    gateway = PushGateway()
    async with running_remote(["127.0.0.1"], gateway.answer, folder) as remote:
        gateway.url = f"https://127.0.0.1:{remote.port}/_matrix/push/v1/notify"
        yield gateway
