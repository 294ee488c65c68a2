"""A network of servers that only publish keys, and vouch for those of others."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.fakes.clock import FakeClock
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.transport import StreamedAnswer
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import OldKey, publish_server_keys
from tremula.protocol.signing import SigningKey, sign_json

DAY_MS = 24 * 60 * 60 * 1000


def key_of(number: int) -> SigningKey:
    """A key of its own for each *number* (1 to 255)."""
    return SigningKey.from_seed(f"ed25519:k{number}", bytes([number]) * 32)


@dataclass(slots=True)
class KeyServer:
    """A server on the network. ``answer`` takes the place of what it would publish."""

    name: ServerName
    key: SigningKey
    clock: FakeClock
    old: tuple[OldKey, ...] = ()
    is_down: bool = False
    answer: object = None
    vouches_for: dict[ServerName, object] = field(default_factory=dict)
    queries: list[Any] = field(default_factory=list)
    requests: int = 0

    def published(self, *, valid_for_ms: int = DAY_MS) -> dict[str, Any]:
        """Its list of keys."""
        return publish_server_keys(
            self.name,
            self.key,
            self.old,
            valid_until_ts=self.clock.now_ms() + valid_for_ms,
        )

    def vouch(self, published: dict[str, Any]) -> None:
        """Sign the list of another server, to be had from this one."""
        name = ServerName(published["server_name"])
        self.vouches_for[name] = sign_json(published, self.name, self.key)

    def respond(self, uri: str, body: bytes | None) -> object:
        """What it answers."""
        self.requests += 1
        if uri == "/_matrix/key/v2/server":
            return self.published() if self.answer is None else self.answer
        assert uri == "/_matrix/key/v2/query"
        assert body is not None
        query = orjson.loads(body)
        self.queries.append(query)
        if self.answer is not None:
            return self.answer
        lists = (self.vouches_for.get(name) for name in query["server_keys"])
        return {"server_keys": [each for each in lists if each is not None]}


@dataclass(slots=True)
class KeyNetwork:
    """Implements ``FederationTransport``; who is not on it cannot be reached."""

    clock: FakeClock
    servers: dict[ServerName, KeyServer] = field(default_factory=dict)
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.is_open.set()

    def add(self, name: str, number: int) -> KeyServer:
        """A new server, signing with ``key_of(number)``."""
        server = KeyServer(ServerName(name), key_of(number), self.clock)
        self.servers[server.name] = server
        return server

    async def send(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> tuple[int, bytes]:
        """Answer as soon as the network ``is_open``."""
        await self.is_open.wait()
        server = self.servers.get(destination)
        if server is None:
            raise PeerUnreachable(f"there is no {destination}")
        if server.is_down:
            server.requests += 1
            raise PeerUnreachable(f"{destination} is down")
        answer = orjson.dumps(server.respond(uri, body))
        assert len(answer) <= bytes_max
        return 200, answer

    @asynccontextmanager
    async def stream(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        bytes_max: int,
    ) -> AsyncIterator[StreamedAnswer]:
        """Nobody asks for keys this way."""
        raise PeerUnreachable(f"{destination} does not stream")
        yield
