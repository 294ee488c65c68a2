"""Messages to devices, and one-time keys, outlive every end of the process."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest
from aiohttp import ClientError

from tests.crash.person import Person, http_session, register
from tests.features.one_time_keys.keys import SIGNED, signed_key
from tests.homeserver import PATIENCE_S, Homeserver

SENDERS: Final = 6
CLAIMERS: Final = 3
KEYS: Final = 400
CRASHES: Final = 3


@dataclass(frozen=True, slots=True)
class Device:
    """Where messages go to, and whose keys are claimed."""

    person: Person
    device_id: str


@dataclass(slots=True)
class Countdown:
    """Sets ``enough`` after so many acknowledgements."""

    left: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, count: int) -> None:
        self.left = count
        self.enough.clear()

    def step(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self.enough.set()


@dataclass(slots=True)
class Sender:
    """Sends numbered messages to a device, each after the last was acknowledged."""

    name: str
    person: Person
    to: Device
    countdown: Countdown
    acknowledged: int = 0

    async def send(self) -> None:
        """Send the next message, or once more the one that may not have arrived."""
        content = {"from": self.name, "number": self.acknowledged}
        await self.person.call(
            "PUT",
            f"/sendToDevice/m.x/{self.name}-{self.acknowledged}",
            {"messages": {self.to.person.user_id: {self.to.device_id: content}}},
        )
        self.acknowledged += 1
        self.countdown.step()


@dataclass(slots=True)
class Receiver:
    """Syncs, and remembers what it was shown with each answer that arrived."""

    device: Device
    since: str | None = None
    received: dict[str, list[int]] = field(default_factory=dict)

    async def read(self) -> None:
        query: dict[str, str | int] = {"timeout": 1_000}
        if self.since is not None:
            query["since"] = self.since
        answer = await self.device.person.call("GET", "/sync", query=query)
        for event in answer.get("to_device", {}).get("events", []):
            content = event["content"]
            self.received.setdefault(content["from"], []).append(content["number"])
        self.since = answer["next_batch"]


@dataclass(slots=True)
class Claimer:
    """Claims keys of a device; those of an answer that was lost are lost."""

    person: Person
    of: Device
    claimed: list[str]

    async def claim(self) -> None:
        wanted = {self.of.person.user_id: {self.of.device_id: SIGNED}}
        answer = await self.person.call(
            "POST", "/keys/claim", {"one_time_keys": wanted}
        )
        for devices in answer["one_time_keys"].values():
            self.claimed += devices[self.of.device_id]


@pytest.fixture
async def people(homeserver: Homeserver) -> AsyncIterator[list[Person]]:
    """The first one is sent to; the others send and claim."""
    async with http_session() as session:
        yield [
            await register(session, homeserver.url, f"user{number}")
            for number in range(3)
        ]


async def _upload(device: Device) -> None:
    owner = {"user_id": device.person.user_id, "device_id": device.device_id}
    keys = {f"{SIGNED}:{n:04}": signed_key(n, **owner) for n in range(KEYS)}
    await device.person.call("POST", "/keys/upload", {"one_time_keys": keys})


async def _until_the_end(step: Callable[[], object]) -> None:
    with contextlib.suppress(ClientError):
        while True:
            work = step()
            assert asyncio.iscoroutine(work)
            await work


async def test_a_crash_loses_no_message_and_gives_out_no_key_twice(
    homeserver: Homeserver, people: list[Person], dice: random.Random
) -> None:
    """SIGKILL among senders, a reader, an uploader and claimers, again and again."""
    owner, *others = people
    whoami = await owner.call("GET", "/account/whoami")
    device = Device(owner, whoami["device_id"])
    receiver = Receiver(device)
    countdown = Countdown()
    senders = [
        Sender(f"s{n}", others[n % 2], device, countdown) for n in range(SENDERS)
    ]
    claimed: list[str] = []
    claimers = [Claimer(others[n % 2], device, claimed) for n in range(CLAIMERS)]
    await _upload(device)
    for _ in range(CRASHES):
        countdown.begin(dice.randint(20, 300))
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(_until_the_end(sender.send))
            for claimer in claimers:
                group.create_task(_until_the_end(claimer.claim))
            group.create_task(_until_the_end(receiver.read))
            # A client that got no answer uploads again, for as long as it takes.
            group.create_task(_until_the_end(lambda: _upload(device)))
            await countdown.enough.wait()
            await asyncio.sleep(dice.random() / 50)
            await homeserver.kill()
        await homeserver.start()

    for sender in senders:
        # What the server may or may not have got before it ended.
        await sender.send()
    wanted = {sender.name: list(range(sender.acknowledged)) for sender in senders}
    async with asyncio.timeout(PATIENCE_S):
        while sum(map(len, receiver.received.values())) < sum(
            map(len, wanted.values())
        ):
            await receiver.read()
    await receiver.read()
    assert receiver.received == wanted
    assert claimed
    assert len(set(claimed)) == len(claimed)
