"""A person with matrix-nio, in rooms that a bridge makes for them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nio import (  # type: ignore[import-untyped]  # it ships no types
    MessageDirection,
    RoomMessageFormatted,
)

from tests.clients.nio_user import NioUser, granted, register

# nio's rooms and events are Any.
NioRoom = Any
NioEvent = Any


@dataclass(frozen=True, slots=True)
class Heard:
    """A message."""

    room_id: str
    sender: str
    body: str


@dataclass(frozen=True, slots=True)
class MatrixUser:
    """A logged-in user, and what the syncs have brought so far."""

    nio: NioUser
    heard: list[Heard] = field(default_factory=list)

    @property
    def user_id(self) -> str:
        return self.nio.user_id

    async def say(self, room_id: str, body: str) -> str:
        """Send a text; return its event ID."""
        return await self.nio.say(room_id, body)

    async def room_where(self, is_it: Callable[[NioRoom], bool]) -> str:
        """The ID of a room that one is in, or invited to; then it is joined."""
        rooms, invited = self.nio.client.rooms, self.nio.client.invited_rooms

        def found() -> list[str]:
            known = [*rooms.values(), *invited.values()]
            return [room.room_id for room in known if is_it(room)]

        await self.nio.sync_until(lambda: bool(found()))
        [room_id] = found()
        if room_id in invited:
            await self.nio.accept_invite(room_id)
        return room_id

    async def room_named(self, name: str) -> str:
        """The ID of the room with this name."""
        return await self.room_where(lambda room: room.name == name)

    async def hears(self, room_id: str, body: str) -> Heard:
        """The first message in the room that says so."""

        def found() -> list[Heard]:
            here = [each for each in self.heard if each.room_id == room_id]
            return [each for each in here if body in each.body]

        try:
            await self.nio.sync_until(lambda: bool(found()))
        except TimeoutError as error:
            raise AssertionError(f"{body!r} is not among {self.heard}") from error
        return found()[0]

    async def sees_in_room(self, room_id: str, user_id: str) -> None:
        """Wait until somebody has joined."""
        room = self.nio.client.rooms[room_id]
        await self.nio.sync_until(lambda: user_id in _joined(room))

    async def sees_left(self, room_id: str, user_id: str) -> None:
        """Wait until somebody is gone."""
        room = self.nio.client.rooms[room_id]
        await self.nio.sync_until(lambda: user_id not in room.users)

    async def read(self, room_id: str, sender: str) -> list[str]:
        """All that somebody has said in the room's history."""
        messages = await granted(
            self.nio.client.room_messages(
                room_id, limit=1000, direction=MessageDirection.front
            )
        )
        assert messages.end is None
        events: list[NioEvent] = messages.chunk
        return [
            event.body
            for event in events
            if isinstance(event, RoomMessageFormatted) and event.sender == sender
        ]


def _joined(room: NioRoom) -> set[str]:
    # nio counts those among the users who are invited.
    return set(room.users) - set(room.invited_users)


@asynccontextmanager
async def registered(url: str, name: str) -> AsyncGenerator[MatrixUser]:
    """A new account, which logs in."""
    user = MatrixUser(await register(url, name))

    async def hear(room: NioRoom, event: NioEvent) -> None:
        user.heard.append(Heard(room.room_id, event.sender, event.body))

    user.nio.client.add_event_callback(hear, RoomMessageFormatted)
    try:
        yield user
    finally:
        await user.nio.client.close()
