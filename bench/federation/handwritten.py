"""A server written by hand: publishes its key, asks others, and hosts large rooms."""

import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from bench.client import WrongAnswer, check
from bench.federation.large_room import LargeRoom, large_room
from bench.federation.signed_room import VERSION, Pdu, SignedEvent, SignedRoom
from bench.servers import HOST, FederationAddress
from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.server_keys import publish_server_keys
from tremula.protocol.signing import SigningKey, sign_event
from tremula.protocol.x_matrix import SignedRequest, authorization_header

_DAY_MS: Final = 24 * 60 * 60 * 1000
_PATIENCE: Final = aiohttp.ClientTimeout(total=300)
_BODY_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """A request that is signed and ready to be sent."""

    method: str
    url: str
    body: bytes
    authorization: str


@dataclass(slots=True)
class Handwritten:
    """Implements as much of a server as the benchmarks need, and trusts everyone."""

    name: ServerName
    session: aiohttp.ClientSession
    trust: ssl.SSLContext
    key: SigningKey = field(
        default_factory=lambda: SigningKey.from_seed("ed25519:hand", bytes(32))
    )
    rooms: dict[str, LargeRoom] = field(default_factory=dict)

    def host(self, *, members: int) -> LargeRoom:
        """A new room of *members* users of this server, for anyone to join."""
        room_id = RoomId(f"!large{len(self.rooms)}:{self.name}")
        room = large_room(room_id, self.name, self.key, members=members)
        self.rooms[room_id] = room
        return room

    async def join(self, other: ServerName, room_id: str, user_id: str) -> SignedRoom:
        """Have a user of this server join a room of *other*."""
        path = f"{quote(room_id)}/{quote(user_id)}?ver={VERSION.id}"
        made = await self.ask(other, "GET", f"/v1/make_join/{path}")
        check(made["room_version"] == VERSION.id, "a room of another version")
        pdu = sign_event(VERSION, made["event"], self.name, self.key)
        event_id = event_id_of(VERSION, pdu)
        path = f"/v2/send_join/{quote(room_id)}/{quote(event_id)}"
        told = await self.ask(other, "PUT", path, pdu)
        state = {_key(each): event_id_of(VERSION, each) for each in told["state"]}
        state["m.room.member", user_id] = event_id
        room = RoomId(room_id)
        return SignedRoom(room, self.key, state, (event_id,), pdu["depth"])

    async def ask(
        self, other: ServerName, method: str, path: str, content: Pdu | None = None
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        """Make a request; *path* is what follows ``/_matrix/federation``."""
        return await self.post(self.letter(other, method, path, content))

    def transaction(
        self, other: ServerName, txn_id: str, events: Sequence[SignedEvent]
    ) -> Letter:
        """A transaction of *events*."""
        content = {
            "origin": self.name,
            "origin_server_ts": _now_ms(),
            "pdus": [each.pdu for each in events],
            "edus": [],
        }
        return self.letter(other, "PUT", f"/v1/send/{txn_id}", content)

    def letter(
        self, other: ServerName, method: str, path: str, content: Pdu | None
    ) -> Letter:
        """A signed request."""
        request = SignedRequest(
            method=method,
            uri=f"/_matrix/federation{path}",
            origin=self.name,
            destination=other,
            content=content,
        )
        return Letter(
            method,
            f"https://{other}{request.uri}",
            b"" if content is None else orjson.dumps(content),
            authorization_header(request, self.key),
        )

    async def post(self, letter: Letter) -> Any:  # noqa: ANN401 - JSON of any shape
        """Send a request; the answer.

        Raises:
            WrongAnswer: the status is not 200.
        """
        async with self.session.request(
            letter.method,
            URL(letter.url, encoded=True),
            data=letter.body or None,
            headers={
                "Authorization": letter.authorization,
                "Content-Type": "application/json",
            },
            ssl=self.trust,
        ) as response:
            answer = await response.read()
        if response.status != 200:
            raise WrongAnswer(f"{letter.url}: {response.status} {answer[:300]!r}")
        return orjson.loads(answer)

    async def respond(self, request: web.Request) -> web.Response:
        """Answer another server."""
        body = await self._answer(request)
        if body is None:
            body = b'{"errcode":"M_NOT_FOUND","error":"not here"}'
            return web.Response(status=404, body=body, content_type="application/json")
        return web.Response(body=body, content_type="application/json")

    async def _answer(self, request: web.Request) -> bytes | None:
        path = request.raw_path.partition("?")[0]
        match (request.method, *map(unquote, path.split("/")[2:])):
            case ("GET", "key", "v2", "server"):
                return self._published_key()
            case ("PUT", "federation", "v1", "send", _):
                return b'{"pdus":{}}'
            case ("GET", "federation", "v1", "event", event_id):
                return self._event(EventId(event_id))
            case (_, "federation", _, asked, room_id, *rest) if room_id in self.rooms:
                return await self._of_room(request, asked, self.rooms[room_id], rest)
            case _:
                return None

    async def _of_room(
        self, request: web.Request, asked: str, room: LargeRoom, rest: list[str]
    ) -> bytes | None:
        match asked:
            case "make_join":
                return room.template(rest[0])
            case "send_join":
                omit_members = request.query.get("omit_members") == "true"
                join = orjson.loads(await request.read())
                return room.take_in(join, omit_members=omit_members)
            case "state":
                return room.state()
            case "state_ids":
                return room.state_ids()
            case _:
                return None

    def _event(self, event_id: EventId) -> bytes | None:
        found = (room.event(event_id) for room in self.rooms.values())
        return next(filter(None, found), None)

    def _published_key(self) -> bytes:
        valid_until_ts = _now_ms() + _DAY_MS
        return orjson.dumps(
            publish_server_keys(self.name, self.key, (), valid_until_ts=valid_until_ts)
        )


@asynccontextmanager
async def running_handwritten(address: FederationAddress) -> AsyncIterator[Handwritten]:
    """The server, listening at *address*."""
    trust = ssl.create_default_context(cafile=str(address.authority))
    listens = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    listens.load_cert_chain(address.files.certificate, address.files.key)
    async with aiohttp.ClientSession(timeout=_PATIENCE) as session:
        server = Handwritten(address.server_name, session, trust)
        application = web.Application(client_max_size=_BODY_BYTES_MAX)
        application.router.add_route("*", "/{path:.*}", server.respond)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, address.port, ssl_context=listens).start()
            yield server
        finally:
            await runner.cleanup()


def _key(pdu: Pdu) -> tuple[str, str]:
    return pdu["type"], pdu["state_key"]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
