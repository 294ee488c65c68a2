"""Servers that crash while they speak with each other lose and repeat nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from aiohttp import ClientError, ClientSession

from tests.crash.far_server import FarServer, running_far_server
from tests.crash.load import Reader, Sender, history
from tests.crash.person import Person, register
from tests.federation.hosted import HostedRoom, hosted_room
from tests.homeserver import PATIENCE_S
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.trust import Trust
from tremula.protocol.events import BuiltEvent
from tremula.protocol.received_events import receive_pdu

CRASHES: Final = 2
# No more than one transaction takes: of more, after an outage, only the newest is sent.
SAID_AT_ONCE: Final = 15


async def join(person: Person, room_id: str, *, via: str) -> None:
    """Join a room of another server."""
    path = f"/rooms/{quote(room_id)}/join"
    await person.call("POST", path, {}, query={"via": via, "server_name": via})


# A server written by hand sends, and repeats what was not answered


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


@pytest.fixture
async def room(far: FarServer, alice: Person) -> HostedRoom:
    """A room of the server written by hand, which Alice has joined."""
    room = hosted_room(far.remote)
    await join(alice, room.id, via=far.remote.name)
    room.events.append(receive_pdu(room.version, room.received[-1]).stored)
    return room


def say(room: HostedRoom, body: str) -> BuiltEvent:
    content = {"msgtype": "m.text", "body": body}
    return room.add("m.room.message", content, state_key=None)


def ids(*events: BuiltEvent) -> list[str]:
    return [each.event.event_id for each in events]


def edus(room: HostedRoom, read: BuiltEvent) -> list[dict[str, Any]]:
    """The room's owner has read an event, and types."""
    receipt = {"event_ids": ids(read), "data": {"ts": 1}}
    typing = {"room_id": room.id, "user_id": room.owner, "typing": True}
    return [
        {
            "edu_type": "m.receipt",
            "content": {room.id: {"m.read": {room.owner: receipt}}},
        },
        {"edu_type": "m.typing", "content": typing},
    ]


async def ephemeral(person: Person, room: HostedRoom) -> dict[str, Any]:
    """What a first /sync tells of who reads and types, by type."""
    answer = await person.call("GET", "/sync", query={"set_presence": "offline"})
    events = answer["rooms"]["join"][room.id]["ephemeral"]["events"]
    return {each["type"]: each["content"] for each in events}


async def messages(person: Person, room: HostedRoom, since: str) -> list[str]:
    """What has been said in the room from an event on."""
    whole = await history(person, room.id)
    assert len(whole) == len(set(whole))
    return whole[whole.index(since) :]


async def test_a_crash_amid_a_transaction_loses_and_repeats_nothing(
    far: FarServer, crashing: TremulaPeer, alice: Person, room: HostedRoom
) -> None:
    """It ends while it asks for an event that one of the transaction's names."""
    one, two, three = (say(room, body) for body in ("one", "two", "three"))
    missing, last = say(room, "missing"), say(room, "last")
    pdus = [room.pdu(each) for each in (one, two, three, last)]
    far.remote.answers["/get_missing_events/"] = {"events": [room.pdu(missing)]}

    sending = asyncio.ensure_future(far.send(crashing, "t", pdus, edus(room, two)))
    async with asyncio.timeout(PATIENCE_S):
        await far.has_been_asked.wait()
    await crashing.kill()
    with pytest.raises(ClientError):
        await sending
    far.may_answer.set()
    await crashing.start()
    answer = await far.send(crashing, "t", pdus, edus(room, two))
    again = await far.send(crashing, "t", pdus, edus(room, two))

    assert (
        answer == again == {"pdus": {each: {} for each in ids(one, two, three, last)}}
    )
    whole = ids(one, two, three, missing, last)
    assert await messages(alice, room, since=whole[0]) == whole
    shown = await ephemeral(alice, room)
    assert shown["m.typing"] == {"user_ids": [room.owner]}
    assert shown["m.receipt"] == {
        two.event.event_id: {"m.read": {room.owner: {"ts": 1}}}
    }


async def test_a_transaction_whose_answer_was_lost_changes_nothing_again(
    far: FarServer, crashing: TremulaPeer, alice: Person, room: HostedRoom
) -> None:
    """What was answered for is on the disk; what was refused is so again."""
    said = [say(room, str(number)) for number in range(30)]
    renamed = room.build(
        "m.room.name", {"name": "Mine"}, sender=f"@stranger:{far.remote.name}"
    )
    pdus = [room.pdu(each) for each in (*said, renamed)]

    answer = await far.send(crashing, "t", pdus, edus(room, said[3]))
    await crashing.kill()
    await crashing.start()
    before = await ephemeral(alice, room)
    again = await far.send(crashing, "t", pdus, edus(room, said[3]))

    refused = answer["pdus"].pop(renamed.event.event_id)
    assert "error" in refused
    assert "error" in again["pdus"].pop(renamed.event.event_id)
    assert answer == again == {"pdus": {each: {} for each in ids(*said)}}
    assert await messages(alice, room, since=ids(*said)[0]) == ids(*said)
    assert before.keys() == {"m.receipt"}
    assert (await ephemeral(alice, room))["m.receipt"] == before["m.receipt"]


# Two Tremulas


@pytest.fixture
async def bob(session: ClientSession, steady: TremulaPeer) -> Person:
    """Somebody at the other server."""
    return await register(session, steady.url, "bob")


async def share_room(speaker: Person, hearer: Person) -> tuple[Sender, Reader]:
    """A room of *speaker*'s in which *hearer* is, too."""
    room_id = await speaker.create_room()
    await join(hearer, room_id, via=speaker.user_id.partition(":")[2])
    reader = Reader(hearer)
    await reader.read()
    return Sender("s", speaker, room_id), reader


def heard(sender: Sender, reader: Reader) -> list[str]:
    """The messages that the reader has got, as they came."""
    sent = set(sender.acknowledged)
    return [each for each in reader.event_ids[sender.room_id] if each in sent]


async def until_heard(sender: Sender, reader: Reader, count: int) -> None:
    """Read until so many of the messages have arrived."""
    async with asyncio.timeout(PATIENCE_S):
        while len(heard(sender, reader)) < count:
            await reader.read()


async def speak(sender: Sender, count: int) -> None:
    """Send so many messages, or until the server goes away."""
    with contextlib.suppress(ClientError):
        for _ in range(count):
            number = len(sender.acknowledged)
            sender.acknowledged.append(await sender.send(number))


async def speak_and_hear(
    sender: Sender, reader: Reader, then: Callable[[], Awaitable[None]]
) -> None:
    """Speak, and *then* do something as soon as the first of it has arrived."""
    count = len(heard(sender, reader)) + 1
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(speak(sender, SAID_AT_ONCE))
        await until_heard(sender, reader, count)
        await then()
        speaking.cancel()


async def assert_all_heard(sender: Sender, reader: Reader) -> None:
    """Everything has arrived, once and in the order in which it was sent."""
    await speak(sender, 1)
    await until_heard(sender, reader, len(sender.acknowledged))
    assert heard(sender, reader) == sender.acknowledged
    for person in (sender.person, reader.person):
        whole = await history(person, sender.room_id)
        assert whole[-len(sender.acknowledged) :] == sender.acknowledged


async def test_a_sender_that_crashes_loses_and_repeats_nothing(
    crashing: TremulaPeer, alice: Person, bob: Person
) -> None:
    sender, reader = await share_room(alice, bob)

    for _ in range(CRASHES):
        await speak_and_hear(sender, reader, crashing.kill)
        await crashing.start()

    await assert_all_heard(sender, reader)


async def test_a_receiver_that_crashes_loses_and_repeats_nothing(
    crashing: TremulaPeer, alice: Person, bob: Person
) -> None:
    sender, reader = await share_room(bob, alice)

    for _ in range(CRASHES):
        await speak_and_hear(sender, reader, crashing.kill)
        await crashing.start()

    await assert_all_heard(sender, reader)


async def test_what_was_said_while_the_other_is_away_outlives_a_crash(
    crashing: TremulaPeer, steady: TremulaPeer, alice: Person, bob: Person
) -> None:
    """Some of it was tried to be sent before, and some is said after it."""
    sender, reader = await share_room(alice, bob)

    steady.gate.shut()
    await speak(sender, 5)
    async with asyncio.timeout(PATIENCE_S):
        await steady.gate.has_refused.wait()
    await speak(sender, 5)
    await crashing.kill()
    await crashing.start()
    await speak(sender, 5)
    steady.gate.open()
    # That it is there again, the other side learns by this.
    await bob.send(sender.room_id, "hello", "hello")

    await until_heard(sender, reader, 15)
    assert heard(sender, reader) == sender.acknowledged
