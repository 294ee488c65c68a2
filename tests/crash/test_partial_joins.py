"""A server that crashes before it knows all members of a room that it has joined."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from tests.crash.far_server import FarServer, running_far_server
from tests.crash.person import Person, register
from tests.federation.big_rooms import BigRoom, big_room
from tests.homeserver import PATIENCE_S
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.trust import Trust


@pytest.fixture
async def far(
    session: ClientSession, trust: Trust, tmp_path: Path
) -> AsyncIterator[FarServer]:
    async with running_far_server(session, trust, tmp_path) as far:
        yield far


@pytest.fixture
async def alice(session: ClientSession, crashing: TremulaPeer) -> Person:
    """Somebody at the server that is killed."""
    return await register(session, crashing.url, "alice")


async def state_ids(person: Person, room: BigRoom) -> set[str]:
    """The IDs of the whole state, once it is known."""
    state: Any = await person.call("GET", f"/rooms/{quote(room.id)}/state")
    return {event["event_id"] for event in state}


async def test_a_crash_before_all_members_are_known_loses_nothing(
    far: FarServer, crashing: TremulaPeer, alice: Person
) -> None:
    """What came before is there, and the rest of the state is asked for again."""
    room = big_room(far.remote, far.remote)
    asked = asyncio.Event()
    tell = far.remote.answers["/v1/state_ids/"]
    assert callable(tell)

    def noting(letter: object) -> object:
        asked.set()
        return tell(letter)

    far.remote.answers["/v1/state_ids/"] = noting
    path = f"/rooms/{quote(room.id)}/join"
    await alice.call("POST", path, {}, query={"via": far.remote.name})
    said = room.say(room.user(1), "before the crash")
    answer = await far.send(crashing, "one", [room.pdu(said)])
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()

    await crashing.kill()
    room.released.set()
    await crashing.start()

    assert answer == {"pdus": {said.event.event_id: {}}}
    expected = {each.event.event_id for each in room.hosted.state.values()}
    assert await state_ids(alice, room) == expected
    path = f"/rooms/{quote(room.id)}/event/{quote(said.event.event_id)}"
    assert (await alice.call("GET", path))["content"] == said.event.content
