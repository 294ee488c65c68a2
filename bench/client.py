"""A small Matrix client, strict about what it is answered."""

import asyncio
import itertools
import secrets
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import orjson

from bench.connections import Connections, connections

T = TypeVar("T")
R = TypeVar("R")

_V3: Final = "/_matrix/client/v3"
LAZY_MEMBERS: Final = {
    "room": {"timeline": {"limit": 20}, "state": {"lazy_load_members": True}}
}


class WrongAnswer(Exception):
    """The server did what a right one does not do."""


def check(holds: object, complaint: str) -> None:
    """Fail with *complaint* unless it holds.

    Raises:
        WrongAnswer: it does not.
    """
    if not holds:
        raise WrongAnswer(complaint)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URLs of a server's processes; sends go to ``senders`` if there are any."""

    all: Sequence[str]
    senders: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Homeserver:
    """One server under test, over connections that stay open.

    Its processes are asked in turn.
    """

    addresses: Addresses
    connections: Connections
    _turns: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def only_at(self, url: str) -> "Homeserver":
        """The same server, of which one process is asked."""
        return Homeserver(Addresses([url]), self.connections)

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the answer.

        Raises:
            WrongAnswer: the status is not 200.
        """
        headers = "Content-Type: application/json\r\n"
        if token:
            headers += f"Authorization: Bearer {token}\r\n"
        answer = await self.connections.request(
            self._url_for(path),
            method,
            f"{_V3}{path}?{urlencode(query)}" if query else f"{_V3}{path}",
            headers=headers,
            body=b"" if body is None else orjson.dumps(body),
        )
        if answer.status != 200:
            raise WrongAnswer(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer.body

    async def register(self) -> "User":
        """A new user with a device."""
        name, password = f"bench-{secrets.token_hex(8)}", secrets.token_urlsafe(12)
        auth = {"type": "m.login.dummy"}
        body = {"username": name, "password": password, "auth": auth}
        return self._user(await self.call("POST", "/register", body=body), password)

    async def login(self, user: "User") -> "User":
        """A new device of *user*."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user.user_id},
            "password": user.password,
        }
        answer = await self.call("POST", "/login", body=body)
        return self._user(answer, user.password)

    async def users(self, count: int) -> list["User"]:
        """New users."""
        return await each(range(count), lambda _: self.register(), at_once=8)

    def _url_for(self, path: str) -> str:
        urls = self.addresses.all
        if "/send/" in path and self.addresses.senders:
            urls = self.addresses.senders
        return urls[next(self._turns) % len(urls)]

    def _user(self, answer: bytes, password: str) -> "User":
        body = orjson.loads(answer)
        return User(
            self, body["user_id"], body["device_id"], body["access_token"], password
        )


@dataclass(frozen=True, slots=True)
class User:
    """One device of a user."""

    homeserver: Homeserver
    user_id: str
    device_id: str
    token: str = field(repr=False)
    password: str = field(repr=False)
    _txn_ids: Iterator[int] = field(default_factory=itertools.count, repr=False)

    async def create_room(self, **body: object) -> str:
        """A new room, public unless *body* says otherwise; returns its ID."""
        answer = await self._call(
            "POST", "/createRoom", {"preset": "public_chat", **body}
        )
        room_id: str = orjson.loads(answer)["room_id"]
        return room_id

    async def join(self, room_id: str) -> None:
        """Join a room by its ID."""
        answer = await self._call("POST", f"/rooms/{quote(room_id)}/join", {})
        check(orjson.loads(answer)["room_id"] == room_id, "joined another room")

    async def join_via(self, room_id: str, server_name: str) -> None:
        """Join a room that this server is not in, with the help of *server_name*."""
        query = {"via": server_name, "server_name": server_name}
        await self._call("POST", f"/join/{quote(room_id)}", {}, query=query)

    async def send(self, room_id: str, text: str) -> str:
        """Send a text message; returns its event ID."""
        txn_id = f"{self.device_id}-{next(self._txn_ids)}"
        answer = await self._call(
            "PUT",
            f"/rooms/{quote(room_id)}/send/m.room.message/{txn_id}",
            {"msgtype": "m.text", "body": text},
        )
        event_id: str = orjson.loads(answer)["event_id"]
        return event_id

    async def set_display_name(self, name: str) -> None:
        """Set the user's name, which their member events show."""
        path = f"/profile/{quote(self.user_id)}/displayname"
        await self._call("PUT", path, {"displayname": name})

    async def state_types(self, room_id: str) -> set[str]:
        """The types of a room's state events."""
        answer = await self._call("GET", f"/rooms/{quote(room_id)}/state")
        return {event["type"] for event in orjson.loads(answer)}

    async def joined_members(self, room_id: str) -> set[str]:
        """The joined users of a room."""
        answer = await self._call("GET", f"/rooms/{quote(room_id)}/joined_members")
        return set(orjson.loads(answer)["joined"])

    async def newest(self, room_id: str) -> str:
        """The ID of the newest event of a room."""
        query = {"dir": "b", "limit": "1"}
        path = f"/rooms/{quote(room_id)}/messages"
        [event] = orjson.loads(await self._call("GET", path, query=query))["chunk"]
        event_id: str = event["event_id"]
        return event_id

    async def sync(
        self,
        *,
        since: str = "",
        timeout_ms: int = 0,
        wanted: Mapping[str, Any] = LAZY_MEMBERS,
    ) -> dict[str, Any]:
        """One answer of `/sync`, which makes nobody seem online."""
        query = {
            "timeout": str(timeout_ms),
            "set_presence": "offline",
            "filter": orjson.dumps(wanted).decode(),
        }
        if since:
            query["since"] = since
        answer: dict[str, Any] = orjson.loads(
            await self._call("GET", "/sync", query=query)
        )
        return answer

    async def post(self, path: str, body: object) -> dict[str, Any]:
        """Post to an endpoint that has no name here; *path* follows the version."""
        answer: dict[str, Any] = orjson.loads(await self._call("POST", path, body))
        return answer

    async def put(self, path: str, body: object) -> dict[str, Any]:
        """Put to such an endpoint."""
        answer: dict[str, Any] = orjson.loads(await self._call("PUT", path, body))
        return answer

    async def pages(self, room_id: str) -> AsyncIterator[list[dict[str, Any]]]:
        """A room's events in pages of 100, newest first."""
        query = {"dir": "b", "limit": "100"}
        path = f"/rooms/{quote(room_id)}/messages"
        while True:
            page = orjson.loads(await self._call("GET", path, query=query))
            yield page["chunk"]
            if "end" not in page:
                return
            query["from"] = page["end"]

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        return await self.homeserver.call(
            method, path, token=self.token, body=body, query=query
        )


@asynccontextmanager
async def connected(addresses: Addresses) -> AsyncIterator[Homeserver]:
    """The server at *addresses*, over as many connections as it takes."""
    async with connections() as opened:
        yield Homeserver(addresses, opened)


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int
) -> list[R]:
    """What *work* returns for each item, in their order; the first error ends all."""
    results: dict[int, R] = {}
    numbered = iter(enumerate(items))

    async def worker() -> None:
        for number, item in numbered:
            results[number] = await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    return [results[number] for number in sorted(results)]


async def until(holds: Callable[[], Awaitable[bool]], *, pause_s: float) -> None:
    """Ask again and again until it holds; how long, is for the caller to bound."""
    while True:
        if await holds():
            return
        await asyncio.sleep(pause_s)
