"""A bridge is told everything, once and in order, whoever of the two crashes."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from tests.conftest import DatabaseSource
from tests.crash.load import Sender, history
from tests.crash.person import Person, http_session, register
from tests.fakes.remote import Received, http_answer, running_remote
from tests.features.appservices.registrations import namespaces, registration_object
from tests.homeserver import PATIENCE_S, Homeserver, running_homeserver

ROOMS: Final = 4
CRASHES: Final = 4
GHOST: Final = "_irc_ghost"


@dataclass(slots=True)
class CrashingBridge:
    """Takes transactions; what it has done it knows by their IDs, as if on a disk.

    In one of four it crashes, before it has done anything or before it answers.
    """

    dice: random.Random
    crashes: bool = True
    done: set[str] = field(default_factory=set)
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        fate = self.dice.randrange(8) if self.crashes else -1
        if fate != 0:
            self._take(request)
        if fate in {0, 1}:
            raise ConnectionResetError("the bridge crashes")
        writer.write(http_answer(200, b"{}"))

    def _take(self, request: Received) -> None:
        txn_id = request.uri.rpartition("/")[2]
        if txn_id in self.done:
            return
        self.done.add(txn_id)
        events: list[dict[str, Any]] = orjson.loads(request.body)["events"]
        for event in events:
            self.told[event["room_id"]].append(event["event_id"])
        self.news.set()

    async def until_told(self, event_ids: dict[str, str]) -> None:
        """Wait until these are the last that it was told of their rooms."""
        async with asyncio.timeout(PATIENCE_S):
            while any(
                event_id not in self.told[room_id]
                for room_id, event_id in event_ids.items()
            ):
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def bridge(
    tmp_path: Path, dice: random.Random
) -> AsyncIterator[tuple[CrashingBridge, str]]:
    """The bridge, and its URL."""
    bridge = CrashingBridge(dice)
    async with running_remote([], bridge.answer, tmp_path) as remote:
        yield bridge, f"http://127.0.0.1:{remote.port}"


async def test_a_bridge_is_told_everything_once_whoever_crashes(
    tmp_path: Path,
    database_source: DatabaseSource,
    bridge: tuple[CrashingBridge, str],
    dice: random.Random,
) -> None:
    crashing, url = bridge
    file = tmp_path / "irc.yaml"
    users = namespaces(users="@_irc_.*", exclusive=False)
    # JSON is YAML.
    file.write_bytes(orjson.dumps(registration_object(url=url, namespaces=users)))
    settings = {"TREMULA_APPSERVICES__FILES": f'["{file}"]'}
    async with (
        running_homeserver(tmp_path / "server", database_source, settings) as server,
        http_session() as session,
    ):
        ghost = await register(session, server.url, GHOST)
        people = [ghost, await register(session, server.url, "alice")]
        rooms = [await ghost.create_room() for _ in range(ROOMS)]
        for room_id in rooms:
            await people[1].join(room_id)
        senders = [
            Sender(f"{person.user_id}.{number}", person, room_id)
            for person in people
            for number, room_id in enumerate(rooms)
        ]

        for _ in range(CRASHES):
            await _send_until_a_crash(server, senders, dice)
            await server.start()
        crashing.crashes = False
        last = await _last_of_all(senders, rooms)
        await crashing.until_told(last)

        for room_id in rooms:
            assert crashing.told[room_id] == await history(ghost, room_id)


async def _send_until_a_crash(
    server: Homeserver, senders: Sequence[Sender], dice: random.Random
) -> None:
    enough = asyncio.Event()
    remaining = dice.randint(20, 200)

    def count_down() -> None:
        nonlocal remaining
        remaining -= 1
        if remaining <= 0:
            enough.set()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.send_until_the_end(count_down))
        await enough.wait()
        await server.kill()


async def _last_of_all(
    senders: Sequence[Sender], rooms: Sequence[str]
) -> dict[str, str]:
    """Send what may or may not have been sent; the last event of each room."""
    for sender in senders:
        sender.acknowledged.append(await sender.send(len(sender.acknowledged)))
    person: Person = senders[0].person
    return {
        room_id: await person.send(room_id, "last", "the last one") for room_id in rooms
    }
