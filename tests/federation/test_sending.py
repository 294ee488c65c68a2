"""What our users do reaches the other servers in the room, once, whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, member, send
from tests.federation.network import Federation
from tests.federation.remote import Remote, add_remote
from tests.federation.rooms import Inbox, RemoteRoom, bodies
from tests.http_client import Client
from tests.query_counter import counted
from tests.server import Server
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.received_events import receive_pdu
from tremula.protocol.room_versions import ROOM_VERSIONS

ALICE = "@alice:a.test"
BOB = "@bob:far.test"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(
    database_source: DatabaseSource, federation: Federation, clock: FakeClock
) -> Server:
    return await federation.start("a.test", database_source, clock=clock)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def remote(server: Server, federation: Federation, inbox: Inbox) -> Remote:
    remote = add_remote(federation, "far.test")
    remote.answers["/v1/send/"] = inbox.answer
    return remote


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


async def room_of(server: Server, remote: Remote, **body: object) -> RemoteRoom:
    body = {"preset": "public_chat", **body}
    room_id = await create_room(server.client(ALICE), **body)
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


@pytest.fixture
async def room(server: Server, remote: Remote) -> RemoteRoom:
    return await room_of(server, remote)


@pytest.mark.parametrize("version", ["1", "5", "10", "12"])
async def test_events_are_sent_as_they_were_signed(
    server: Server, remote: Remote, alice: Client, inbox: Inbox, version: str
) -> None:
    room = await room_of(server, remote, room_version=version)
    event_id = await send(alice, room.room_id, "hello")
    await inbox.until(lambda box: bodies(box) == ["hello"])

    received = receive_pdu(ROOM_VERSIONS[version], inbox.pdus[-1])
    assert received.event.event_id == event_id
    assert not received.is_redacted


async def test_a_server_gets_nothing_from_before_it_came(
    room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    await send(alice, room.room_id, "hello")
    await inbox.until(lambda box: bool(bodies(box)))

    assert len(inbox.pdus) == 1


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_a_room_of_our_own_costs_nothing_more(
    server: Server, remote: Remote, alice: Client, federation: Federation
) -> None:
    room_id = await create_room(alice)
    await send(alice, room_id)
    with counted(server.db) as queries:
        await send(alice, room_id)

    assert queries.reads == []
    [unit] = queries.units
    assert len(unit.statements) == 1
    assert not federation.network.asked(ServerName("far.test"), "/send/")


async def test_who_is_kicked_last_is_told(
    room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    await member(alice, room.room_id, "kick", BOB)
    await inbox.until(lambda box: bool(box.pdus))
    await send(alice, room.room_id, "alone")

    [kick] = inbox.pdus
    assert (kick["state_key"], kick["content"]["membership"]) == (BOB, "leave")


async def test_our_last_leave_is_told(
    room: RemoteRoom, alice: Client, inbox: Inbox
) -> None:
    await alice.post(f"/v3/rooms/{room.room_id}/leave", {})
    await inbox.until(lambda box: bool(box.pdus))

    [leave] = inbox.pdus
    assert leave["state_key"] == ALICE


async def test_every_server_in_the_room_is_told(
    server: Server,
    federation: Federation,
    remote: Remote,
    room: RemoteRoom,
    alice: Client,
    inbox: Inbox,
) -> None:
    other, other_inbox = add_remote(federation, "other.test", 2), Inbox()
    other.answers["/v1/send/"] = other_inbox.answer
    await RemoteRoom(server, other, room.room_id).join("@eve:other.test")

    await send(alice, room.room_id, "hello")
    await other_inbox.until(lambda box: bodies(box) == ["hello"])
    await inbox.until(lambda box: bodies(box) == ["hello"])

    assert len(other_inbox.pdus) == 1


async def test_an_outage_loses_nothing_and_ends_when_the_other_is_heard_from(
    remote: Remote,
    federation: Federation,
    clock: FakeClock,
    room: RemoteRoom,
    alice: Client,
    inbox: Inbox,
) -> None:
    with is_down(federation, remote):
        for number in range(5):
            await send(alice, room.room_id, str(number))
        await federation.network.until_asked(remote.name, "/send/")
    assert bodies(inbox) == []

    clock.advance_ms(10_000)
    await room.accepted(BOB, "m.room.message", {"body": "I am back"})
    await inbox.until(lambda box: len(bodies(box)) == 5)

    assert bodies(inbox) == ["0", "1", "2", "3", "4"]


@contextmanager
def is_down(federation: Federation, remote: Remote) -> Iterator[None]:
    federation.network.down.add(remote.name)
    yield
    federation.network.down.discard(remote.name)
