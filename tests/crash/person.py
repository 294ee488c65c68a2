"""A logged-in user over a socket, with nothing that repeats what fails."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from tests.homeserver import PATIENCE_S
from tests.server import PASSWORD


@dataclass(frozen=True, slots=True)
class Person:
    """An account and its connections.

    A call raises `aiohttp.ClientError` when the server ends in the middle of it.
    """

    session: ClientSession
    url: str
    user_id: str
    token: str
    version: str = field(default="v3", kw_only=True)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
    ) -> dict[str, Any]:
        """The answer's body; the status has to be 200."""
        async with self.session.request(
            method,
            URL(f"{self.url}/_matrix/client/{self.version}{path}", encoded=True),
            json=body,
            params=query,
            headers={"Authorization": f"Bearer {self.token}"},
        ) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    async def send(self, room_id: str, txn_id: str, body: str) -> str:
        """Send a text; the event's id."""
        path = f"/rooms/{quote(room_id)}/send/m.room.message/{txn_id}"
        answer = await self.call("PUT", path, {"msgtype": "m.text", "body": body})
        event_id: str = answer["event_id"]
        return event_id

    async def create_room(self) -> str:
        """A room that anyone may join."""
        answer = await self.call("POST", "/createRoom", {"preset": "public_chat"})
        room_id: str = answer["room_id"]
        return room_id

    async def join(self, room_id: str) -> None:
        """Join a public room."""
        await self.call("POST", f"/rooms/{quote(room_id)}/join", {})


@asynccontextmanager
async def http_session() -> AsyncGenerator[ClientSession]:
    """Connections for many people at once, each answer waited for with patience."""
    timeout = ClientTimeout(total=PATIENCE_S)
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=timeout
    ) as session:
        yield session


async def register(session: ClientSession, url: str, name: str) -> Person:
    """Make an account."""
    body = {
        "username": name,
        "password": PASSWORD,
        "auth": {"type": "m.login.dummy"},
    }
    answer = await Person(session, url, "", "").call("POST", "/register", body)
    return Person(session, url, answer["user_id"], answer["access_token"])
