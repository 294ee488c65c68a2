"""A person with matrix-nio: a client library that we did not write."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from nio import (  # type: ignore[import-untyped]  # it ships no types
    AsyncClient,
    AsyncClientConfig,
    ErrorResponse,
)

from tests.homeserver import PATIENCE_S
from tests.server import PASSWORD

# nio's clients, answers and events are Any. It checks what it gets against schemas of
# its own, and makes an `ErrorResponse` or a `BadEvent` of what does not match.
NioClient = Any
Answer = Any
Event = Any

_POLL_MS = 5000


async def granted(call: Awaitable[Answer]) -> Answer:
    """The answer of a call that has to succeed."""
    answer = await call
    assert not isinstance(answer, ErrorResponse), answer
    return answer


async def refused(call: Awaitable[Answer]) -> str:
    """The errcode of a call that has to be refused."""
    answer = await call
    assert isinstance(answer, ErrorResponse), answer
    return str(answer.status_code)


@dataclass(frozen=True, slots=True)
class NioUser:
    """A logged-in user; `client` is nio's own, for everything else."""

    client: NioClient

    @property
    def user_id(self) -> str:
        """The user's id, as the server gave it."""
        user_id: str = self.client.user_id
        return user_id

    async def create_room(self, **options: object) -> str:
        """The id of a new room."""
        room_id: str = (await granted(self.client.room_create(**options))).room_id
        return room_id

    async def say(self, room_id: str, body: str, *, txn_id: str | None = None) -> str:
        """Send a text; return its event id."""
        content = {"msgtype": "m.text", "body": body}
        sent = await granted(
            self.client.room_send(room_id, "m.room.message", content, txn_id)
        )
        event_id: str = sent.event_id
        return event_id

    async def sync(self, **options: object) -> Answer:
        """One sync from where the last one ended, not waiting unless told to."""
        return await granted(self.client.sync(**{"timeout": 0, **options}))

    async def sync_until(self, is_seen: Callable[[], bool]) -> None:
        """Sync until what nio keeps in memory is as wished."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_seen():
                await self.sync(timeout=_POLL_MS)

    async def read_until(self, room_id: str, event_id: str) -> list[Event]:
        """Sync until the event comes; return the room's timeline up to it."""
        events: list[Event] = []
        async with asyncio.timeout(PATIENCE_S):
            while event_id not in [event.event_id for event in events]:
                answer = await self.sync(timeout=_POLL_MS)
                if room_id in answer.rooms.join:
                    events += answer.rooms.join[room_id].timeline.events
        return events

    async def accept_invite(self, room_id: str) -> None:
        """Join once the invite has come, and sync until the room is there."""
        await self.sync_until(lambda: room_id in self.client.invited_rooms)
        await granted(self.client.join(room_id))
        await self.sync_until(lambda: room_id in self.client.rooms)


def new_client(url: str, name: str) -> NioClient:
    """A client that does not try again by itself."""
    return AsyncClient(url, name, config=AsyncClientConfig(max_timeouts=0))


async def register(url: str, name: str) -> NioUser:
    """Make an account, which logs in."""
    client = new_client(url, name)
    try:
        await granted(client.register(name, PASSWORD, device_name="nio"))
    except BaseException:
        await client.close()
        raise
    return NioUser(client)
