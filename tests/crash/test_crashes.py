"""What was acknowledged outlives every end of the process, once and in order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import pytest

from tests.crash.load import Reader, Sender, assert_sent_once, history
from tests.crash.person import Person, http_session, register
from tests.homeserver import PATIENCE_S, Homeserver

SENDERS: Final = 16
ROOMS: Final = 4
CRASHES: Final = 4
RESENT_AFTER_EACH: Final = 3


@pytest.fixture
async def people(homeserver: Homeserver) -> AsyncIterator[list[Person]]:
    """The members of every room; the last one only reads."""
    async with http_session() as session:
        yield [
            await register(session, homeserver.url, f"user{number}")
            for number in range(5)
        ]


async def test_a_crash_loses_and_repeats_nothing(
    homeserver: Homeserver, people: list[Person], dice: random.Random
) -> None:
    """SIGKILL among 16 senders, again and again."""
    senders, reader = await _prepare(people)

    for _ in range(CRASHES):
        await _load_until(
            senders, reader, dice.randint(20, 300), _late(homeserver.kill, dice)
        )
        await homeserver.start()
        await _assert_resent_are_the_same(senders, dice)

    await _assert_complete(senders, reader)


async def test_a_stop_loses_and_repeats_nothing(
    homeserver: Homeserver, people: list[Person], dice: random.Random
) -> None:
    """SIGTERM among 16 senders."""
    senders, reader = await _prepare(people)

    await _load_until(senders, reader, dice.randint(20, 300), homeserver.stop)
    await homeserver.start()
    await _assert_resent_are_the_same(senders, dice)

    await _assert_complete(senders, reader)


async def _prepare(people: Sequence[Person]) -> tuple[list[Sender], Reader]:
    """Rooms with everyone in them, and someone sending in each."""
    rooms = [await people[0].create_room() for _ in range(ROOMS)]
    for person in people[1:]:
        for room_id in rooms:
            await person.join(room_id)
    senders = [
        Sender(f"s{number}", people[number // ROOMS], rooms[number % ROOMS])
        for number in range(SENDERS)
    ]
    reader = Reader(people[-1])
    await reader.read()
    return senders, reader


def _late(
    end: Callable[[], Awaitable[None]], dice: random.Random
) -> Callable[[], Awaitable[None]]:
    """*end* at some moment of the next few commits."""

    async def end_late() -> None:
        await asyncio.sleep(dice.random() / 50)
        await end()

    return end_late


async def _load_until(
    senders: Sequence[Sender],
    reader: Reader,
    acknowledgements: int,
    end: Callable[[], Awaitable[None]],
) -> None:
    """Send and read at once; after so many acknowledgements *end* the server."""
    enough = asyncio.Event()
    remaining = acknowledgements

    def count_down() -> None:
        nonlocal remaining
        remaining -= 1
        if remaining <= 0:
            enough.set()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.send_until_the_end(count_down))
        group.create_task(reader.read_until_the_end())
        await enough.wait()
        await end()


async def _assert_resent_are_the_same(
    senders: Sequence[Sender], dice: random.Random
) -> None:
    """Used txn ids answer with the same event ids."""
    for sender in senders:
        numbers = range(len(sender.acknowledged))
        for number in dice.sample(numbers, min(len(numbers), RESENT_AFTER_EACH)):
            assert await sender.send(number) == sender.acknowledged[number]


async def _assert_complete(senders: Sequence[Sender], reader: Reader) -> None:
    """All that was acknowledged was read, exactly once and in order; nothing else."""
    for sender in senders:
        # What the server may or may not have got before it ended, and one more.
        for _ in range(2):
            number = len(sender.acknowledged)
            sender.acknowledged.append(await sender.send(number))
    await _read_to_the_end(senders, reader)
    for room_id in {sender.room_id for sender in senders}:
        whole = await history(reader.person, room_id)
        assert reader.event_ids[room_id] == whole
        assert_sent_once(whole, [each for each in senders if each.room_id == room_id])


async def _read_to_the_end(senders: Sequence[Sender], reader: Reader) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(
            sender.acknowledged[-1] not in reader.event_ids[sender.room_id]
            for sender in senders
        ):
            await reader.read()
