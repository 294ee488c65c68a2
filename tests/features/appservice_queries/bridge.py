"""An application service that is asked over HTTP, and answers as the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import orjson

from tests.fakes.remote import Received, http_answer, running_remote

NOT_FOUND = http_answer(404, b'{"errcode":"M_NOT_FOUND"}')


@dataclass(slots=True)
class Asked:
    """What it answers by path, decoded, and what it was asked; it does *before* first.

    Whatever is not among the answers it does not have.
    """

    answers: Mapping[str, object] = field(default_factory=dict)
    otherwise: bytes = NOT_FOUND
    before: Callable[[str], Awaitable[None]] | None = None
    requests: list[Received] = field(default_factory=list)
    url: str = ""

    @property
    def paths(self) -> list[str]:
        """The paths and queries that it was asked for, decoded."""
        return [unquote(each.uri) for each in self.requests]

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        """Answer one request; transactions are taken, and not noted."""
        if "/transactions/" in request.uri:
            writer.write(http_answer(200, b"{}"))
            return
        self.requests.append(request)
        path = unquote(request.uri.partition("?")[0])
        found = self.answers.get(path)
        if found is None:
            writer.write(self.otherwise)
            return
        if self.before is not None:
            await self.before(path)
        writer.write(http_answer(200, orjson.dumps(found)))


@asynccontextmanager
async def asked(folder: Path, bridge: Asked) -> AsyncIterator[Asked]:
    """*bridge* while it listens."""
    async with running_remote([], bridge.answer, folder) as remote:
        bridge.url = f"http://127.0.0.1:{remote.port}"
        yield bridge
