"""Users of a server of several processes: many who send, some who read."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.cluster.balancer import Balancer, PatientPerson, behind
from tests.cluster.members import Members
from tests.crash.load import Reader, Sender, assert_sent_once, history
from tests.crash.person import register

SENDERS: Final = 32
ROOMS: Final = 8
PEOPLE: Final = 4
READERS: Final = 4
# Each sends about five times a second: the machine is to have time for what happens.
THINK_S: Final = 0.4
READ_TO_THE_END_S: Final = 60
BACK_MOST_S: Final = 60


@dataclass(slots=True)
class Crowd:
    """Senders and readers, and when a message of each room was last acknowledged."""

    people: Sequence[PatientPerson]
    senders: Sequence[Sender]
    readers: Sequence[Reader]
    dice: random.Random
    acknowledged_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Of each room: when each message was begun, and when it was acknowledged."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _is_over: bool = False

    @property
    def failures(self) -> list[str]:
        """What clients have seen, though it was mended."""
        return [failure for person in self.people for failure in person.failures]

    @contextmanager
    def busy(self, group: asyncio.TaskGroup) -> Iterator[None]:
        """Send and read for as long as this lasts."""
        self._is_over = False
        for sender in self.senders:
            group.create_task(self._send(sender))
        for reader in self.readers:
            group.create_task(self._read(reader))
        try:
            yield
        finally:
            self._is_over = True

    async def check(self) -> None:
        """All that was acknowledged is there, once, and in one order for everybody."""
        for sender in self.senders:
            sender.acknowledged.append(await sender.send(len(sender.acknowledged)))
        async with asyncio.timeout(READ_TO_THE_END_S):
            for reader in self.readers:
                await self._read_to_the_end(reader)
        for room_id in {sender.room_id for sender in self.senders}:
            whole = await history(self.readers[0].person, room_id)
            assert_sent_once(
                whole, [each for each in self.senders if each.room_id == room_id]
            )
            for reader in self.readers:
                read = reader.event_ids[room_id]
                assert read == whole, _difference(read, whole)

    async def writes_back_s(self, since_s: float) -> float:
        """How long after *since_s* a message, begun after it, was acknowledged in each
        room; waits until there is one.
        """
        rooms = {sender.room_id for sender in self.senders}
        async with asyncio.timeout(BACK_MOST_S):
            while True:
                self._news.clear()
                took_s = max(
                    _first_after(since_s, self.acknowledged_s.get(room_id, ()))
                    for room_id in rooms
                )
                if took_s < float("inf"):
                    return took_s
                await self._news.wait()

    async def _send(self, sender: Sender) -> None:
        times = self.acknowledged_s.setdefault(sender.room_id, [])
        while not self._is_over:
            begun_s = time.monotonic()
            sender.acknowledged.append(await sender.send(len(sender.acknowledged)))
            times.append((begun_s, time.monotonic()))
            self._news.set()
            await asyncio.sleep(self.dice.random() * THINK_S)

    async def _read(self, reader: Reader) -> None:
        while not self._is_over:
            await reader.read()

    async def _read_to_the_end(self, reader: Reader) -> None:
        while any(
            sender.acknowledged[-1] not in reader.event_ids[sender.room_id]
            for sender in self.senders
        ):
            await reader.read()


async def gather_crowd(
    members: Members, balancer: Balancer, dice: random.Random
) -> Crowd:
    """Rooms with everybody in them; nobody sends or reads yet."""
    first = members.homeservers[0]
    people = [
        behind(balancer, await register(balancer.session, first.url, f"user{number}"))
        for number in range(PEOPLE + READERS)
    ]
    rooms = [await people[0].create_room() for _ in range(ROOMS)]
    for room_id in rooms:
        async with asyncio.TaskGroup() as group:
            for person in people[1:]:
                group.create_task(person.join(room_id))
    senders = [
        Sender(f"s{number}", people[number % PEOPLE], rooms[number % ROOMS])
        for number in range(SENDERS)
    ]
    readers = [Reader(person) for person in people[PEOPLE:]]
    for reader in readers:
        await reader.read()
    return Crowd(people, senders, readers, dice)


def _first_after(since_s: float, times: Sequence[tuple[float, float]]) -> float:
    ends = (ended for begun, ended in times if begun >= since_s)
    return min(ends, default=float("inf")) - since_s


def _difference(read: Sequence[str], whole: Sequence[str]) -> str:
    """What a reader has seen otherwise than it is."""
    missing = [whole.index(each) for each in whole if each not in read]
    twice = len(read) - len(set(read))
    pairs = enumerate(zip(read, whole, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), None)
    return (
        f"of {len(whole)} events {len(read)} were read, {twice} of them twice;"
        f" missing are the numbers {missing}; the first difference is at {first}"
    )
