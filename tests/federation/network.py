"""A network in this process: each request goes straight to the other server's ASGI.

Any number of Tremulas, and servers that are written by hand (`Peer`), by their names.
Lines can be cut and servers switched off.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from msgspec.structs import replace

from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.clock import Clock
from tremula.infra.config import PostgresUrl, SqliteFile
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.transport import FederationTransport, StreamedAnswer
from tremula.infra.http.exchange import HttpApp
from tremula.protocol.identifiers import ServerName

PATIENCE_S: Final = 20.0

_PIECE_BYTES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A request on its way; ``uri`` is the percent-encoded path with the query."""

    origin: ServerName
    destination: ServerName
    method: str
    uri: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.uri.partition("?")[0]

    @property
    def json(self) -> Any:  # noqa: ANN401 - tests read what they know is there
        """The body, parsed."""
        return orjson.loads(self.body or b"null")


class Peer(Protocol):
    """A server as the network knows it."""

    async def receive(self, letter: Letter) -> tuple[int, bytes]:
        """The status and body of the answer."""
        ...


@dataclass(frozen=True, slots=True)
class _Tremula:
    http: HttpApp

    async def receive(self, letter: Letter) -> tuple[int, bytes]:
        response = await Client(self.http).request(
            letter.method, letter.uri, body=letter.body or b"", headers=letter.headers
        )
        return response.status, response.body


@dataclass(slots=True)
class Network:
    """Who is there, who cannot reach whom, and all that was asked."""

    peers: dict[ServerName, Peer] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    cut: set[frozenset[str]] = field(default_factory=set)
    letters: list[Letter] = field(default_factory=list)
    _sent: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, server: Server) -> None:
        """Let a Tremula be reached."""
        name = server.app.config.server_name
        self.peers[name] = _Tremula(server.http)

    def line(self, origin: ServerName) -> FederationTransport:
        """The way out of the server *origin*."""
        return _Line(self, origin)

    def separate(self, *sides: set[str]) -> None:
        """Cut all lines between servers of different *sides*."""
        self.cut |= {
            frozenset({one, other})
            for side in sides
            for one in side
            for others in sides
            if others is not side
            for other in others
        }

    def heal(self) -> None:
        """Mend every line, and switch every server on."""
        self.cut.clear()
        self.down.clear()

    def asked(self, destination: str, part: str) -> list[Letter]:
        """The requests to *destination* with *part* in their paths."""
        return [
            letter
            for letter in self.letters
            if letter.destination == destination and part in letter.path
        ]

    async def until_asked(self, destination: str, part: str) -> None:
        """Wait until a request to *destination* with *part* in its path was made."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.asked(destination, part):
                self._sent.clear()
                await self._sent.wait()

    async def deliver(self, letter: Letter) -> tuple[int, bytes]:
        """Hand over a request and return the answer."""
        self.letters.append(letter)
        self._sent.set()
        ends = frozenset({letter.origin, letter.destination})
        peer = self.peers.get(letter.destination)
        if peer is None or ends & self.down or ends in self.cut:
            raise PeerUnreachable(f"{letter.destination} does not answer")
        return await peer.receive(letter)


@dataclass(frozen=True, slots=True)
class _Line:
    """Implements ``FederationTransport``."""

    network: Network
    origin: ServerName

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
        letter = Letter(
            origin=self.origin,
            destination=destination,
            method=method,
            uri=uri,
            headers=headers,
            body=body,
        )
        try:
            async with asyncio.timeout(timeout_s):
                status, answer = await self.network.deliver(letter)
        except TimeoutError as error:
            raise PeerUnreachable(f"{destination}: no answer in time") from error
        if len(answer) > bytes_max:
            raise PeerUnreachable(f"{destination}: the answer is too large")
        return status, answer

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
        status, answer = await self.send(
            destination,
            method,
            uri,
            headers=headers,
            body=body,
            timeout_s=timeout_s,
            bytes_max=bytes_max,
        )
        yield StreamedAnswer(status, _in_pieces(answer))


async def _in_pieces(answer: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(answer), _PIECE_BYTES):
        yield answer[start : start + _PIECE_BYTES]


@dataclass(slots=True)
class Federation:
    """Tremulas on one network, stopped together. Made by ``running_federation``."""

    folder: Path
    network: Network
    _servers: AsyncExitStack

    async def start(
        self,
        name: str,
        database: SqliteFile | PostgresUrl | None = None,
        *,
        clock: Clock | None = None,
        **settings: Any,  # noqa: ANN401 - any field of the configuration
    ) -> Server:
        """A new server *name*, on an SQLite file of its own unless given a database."""
        folder = self.folder / name.replace(":", "_")
        folder.mkdir(exist_ok=True)
        server_name = ServerName(name)
        config = replace(
            config_for(database or SqliteFile(folder / "tremula.db"), folder),
            server_name=server_name,
            **settings,
        )
        server = await self._servers.enter_async_context(
            running_server(config, clock, transport=self.network.line(server_name))
        )
        self.network.add(server)
        return server


@asynccontextmanager
async def running_federation(folder: Path) -> AsyncIterator[Federation]:
    """A network without servers; those that are started are stopped at the end."""
    async with AsyncExitStack() as servers:
        yield Federation(folder, Network(), servers)
