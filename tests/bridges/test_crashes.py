"""Every event reaches a bridge once and in order, whoever crashes."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import pytest

from tests.bridges import registrations
from tests.bridges.conftest import Serve
from tests.bridges.environments import own_program
from tests.bridges.program import PATIENCE_S, Program
from tests.crash.load import Sender, history
from tests.crash.person import Person, http_session, register
from tests.dice import thrown
from tests.homeserver import Homeserver
from tests.postgres_server import free_port

pytestmark = pytest.mark.bridges

_CRASHES: Final = 4
_ROOMS: Final = 3
_SENDERS_IN_EACH: Final = 2


@dataclass(frozen=True, slots=True)
class Recorder:
    """A bridge that writes down what it is sent."""

    program: Program
    file: Path

    async def start(self) -> None:
        await self.program.start()
        await self.program.told(seen="ready")

    def event_ids(self) -> dict[str, list[str]]:
        """What it has got from each room so far."""
        found: dict[str, list[str]] = defaultdict(list)
        lines = self.file.read_bytes().splitlines() if self.file.exists() else []
        for line in lines:
            for event in orjson.loads(line)["events"]:
                found[event["room_id"]].append(event["event_id"])
        return found

    async def until_it_has(self, room_id: str, event_id: str) -> None:
        """Wait until it was sent an event."""
        while event_id not in self.event_ids()[room_id]:
            await self.program.told(seen="transaction")


@dataclass(slots=True)
class Countdown:
    """Waits for so many acknowledgements."""

    remaining: int
    is_over: asyncio.Event

    def count(self) -> None:
        self.remaining -= 1
        if self.remaining <= 0:
            self.is_over.set()


@pytest.fixture
def dice() -> random.Random:
    """Chooses the moments; CRASH_SEED=… chooses them again."""
    return thrown("CRASH_SEED")


@pytest.fixture
def registered(tmp_path: Path) -> tuple[Path, str]:
    """The bridge's registration, which watches everybody, and its port."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    file = tmp_path / "recorder.yaml"
    return registrations.write(file, url, ["@user.*:test"], exclusive=False), port


@pytest.fixture
async def homeserver(serve: Serve, registered: tuple[Path, str]) -> Homeserver:
    return await serve(registered[0])


@pytest.fixture
async def recorder(
    homeserver: Homeserver,
    registered: tuple[Path, str],
    tmp_path: Path,
    stack: AsyncExitStack,
) -> Recorder:
    file = tmp_path / "recorded"
    registration, port = registered
    program = own_program(
        *("recorder", homeserver.url, str(registration), port, str(file)),
        log=tmp_path / "recorder.log",
    )
    stack.push_async_callback(program.clean_up)
    recorder = Recorder(program, file)
    await recorder.start()
    return recorder


@pytest.fixture
async def senders(homeserver: Homeserver) -> AsyncIterator[list[Sender]]:
    """Two people, who both send in each of some rooms."""
    async with http_session() as session:
        people = [
            await register(session, homeserver.url, f"user{number}")
            for number in range(_SENDERS_IN_EACH)
        ]
        rooms = [await people[0].create_room() for _ in range(_ROOMS)]
        for person in people[1:]:
            for room_id in rooms:
                await person.join(room_id)
        yield [
            Sender(f"{person.user_id}-{room_id}", person, room_id)
            for person in people
            for room_id in rooms
        ]


async def test_crashes_lose_and_repeat_nothing(
    homeserver: Homeserver,
    recorder: Recorder,
    senders: list[Sender],
    dice: random.Random,
) -> None:
    for _ in range(_CRASHES):
        await _crash_both(homeserver, recorder, senders, dice)

    for sender in senders:
        # What the server may or may not have got before it crashed, and one more.
        for _ in range(2):
            number = len(sender.acknowledged)
            sender.acknowledged.append(await sender.send(number))
        await recorder.until_it_has(sender.room_id, sender.acknowledged[-1])
    recorded = recorder.event_ids()
    for room_id in {sender.room_id for sender in senders}:
        assert recorded[room_id] == await _history(senders, room_id)


async def _history(senders: Sequence[Sender], room_id: str) -> list[str]:
    person: Person = senders[0].person
    return await history(person, room_id)


async def _crash_both(
    homeserver: Homeserver,
    recorder: Recorder,
    senders: Sequence[Sender],
    dice: random.Random,
) -> None:
    """Among senders kill the bridge, and later the server; each is started again."""
    countdowns = [
        Countdown(dice.randint(10, 150), asyncio.Event()),
        Countdown(dice.randint(160, 300), asyncio.Event()),
    ]

    def count() -> None:
        for countdown in countdowns:
            countdown.count()

    is_back_first = dice.random() < 0.5
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.send_until_the_end(count))
        await countdowns[0].is_over.wait()
        await recorder.program.kill()
        if is_back_first:
            await recorder.start()
        await countdowns[1].is_over.wait()
        await homeserver.kill()
    await homeserver.start()
    if not is_back_first:
        await recorder.start()
