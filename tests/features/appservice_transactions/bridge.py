"""A bridge: HTTP on a loopback port, with answers that the test chooses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tests.fakes.remote import Received, http_answer, running_remote, until_hung_up
from tests.features.appservices.registrations import namespaces, registration
from tremula.protocol.appservices import Registration

_PATH: Final = "/_matrix/app/v1/transactions/"


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as it came."""

    txn_id: str
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The body, parsed."""
        content: dict[str, Any] = orjson.loads(self.body)
        return content

    @property
    def event_ids(self) -> list[str]:
        """Of what it tells, in its order."""
        return [event["event_id"] for event in self.content["events"]]


@dataclass(slots=True)
class Bridge:
    """What it was told, and the status that it answers; nothing if it *is_silent*.

    What it has taken it knows by its ID, as bridges do: when the slot moves to another
    process, that repeats it. Unless *is_modern*, it has the legacy routes only.
    """

    id: str = "irc"
    url: str = ""
    status: int = 200
    is_silent: bool = False
    is_modern: bool = True
    at_once: int = 0
    at_once_max: int = 0
    requests: list[Received] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    told: "asyncio.Queue[Transaction]" = field(default_factory=asyncio.Queue)

    def registration(self, **changes: Any) -> Registration:  # noqa: ANN401 - any key
        """Its registration: users `@_{id}_…`, whom anybody may make."""
        users = namespaces(users=f"@_{self.id}_.*", exclusive=False)
        return registration(
            self.id, **{"url": self.url, "namespaces": users, **changes}
        )

    async def take(self) -> Transaction:
        """The oldest transaction that was not looked at yet; waits for it."""
        return await self.told.get()

    async def take_events(self, count: int) -> list[dict[str, Any]]:
        """Events of as many transactions as it takes for *count*."""
        events: list[dict[str, Any]] = []
        while len(events) < count:
            events += (await self.take()).content["events"]
        return events

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        path = request.uri.partition("?")[0]
        if path.startswith(_PATH) and not self.is_modern:
            writer.write(http_answer(404, b"{}"))
            return
        assert request.method == "PUT"
        transaction = Transaction(path.rpartition("/")[2], request.body)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        if transaction.txn_id not in self.taken:
            self.told.put_nowait(transaction)
        if self.is_silent:
            await until_hung_up(writer)
        self.at_once -= 1
        if self.status == 200:
            self.taken.add(transaction.txn_id)
        writer.write(http_answer(self.status, b"{}"))


@asynccontextmanager
async def running_bridge(folder: Path, bridge_id: str = "irc") -> AsyncIterator[Bridge]:
    """Run a bridge."""
    bridge = Bridge(bridge_id)
    async with running_remote([], bridge.answer, folder) as remote:
        bridge.url = f"http://127.0.0.1:{remote.port}"
        yield bridge
