"""Other servers of a room that an administrator deletes."""

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, error_of
from tests.federation.network import Federation
from tests.federation.remote import Remote, add_remote
from tests.federation.rooms import Inbox, RemoteRoom
from tests.server import Server
from tremula.protocol.identifiers import RoomId, ServerName

ALICE = "@alice:a.test"
BOB = "@bob:far.test"
HOUR_MS = 3_600_000


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
async def room(server: Server, federation: Federation, inbox: Inbox) -> RemoteRoom:
    remote: Remote = add_remote(federation, "far.test")
    remote.answers["/v1/send/"] = inbox.answer
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


async def delete(server: Server, room_id: RoomId, *, stays_blocked: bool) -> None:
    """Ask for a deletion, and take it as far as it gets."""
    deletions = server.app.moderation.rooms.deletions
    await deletions.request(room_id, stays_blocked=stays_blocked)
    await work_off(server)


async def work_off(server: Server) -> None:
    for app in server.apps:
        await app.moderation.rooms.deletions.work_off()


async def is_done(server: Server, room_id: RoomId) -> bool:
    return await server.app.moderation.rooms.deletions.is_done(room_id)


async def test_other_servers_are_told_that_ours_have_left(
    server: Server, room: RemoteRoom, inbox: Inbox
) -> None:
    await delete(server, room.room_id, stays_blocked=False)

    await inbox.until(lambda box: bool(box.pdus))
    [leave] = inbox.pdus
    assert (leave["state_key"], leave["content"]) == (ALICE, {"membership": "leave"})


async def test_a_server_that_is_gone_is_waited_for_an_hour(
    server: Server, room: RemoteRoom, federation: Federation, clock: FakeClock
) -> None:
    federation.network.down.add(ServerName("far.test"))

    await delete(server, room.room_id, stays_blocked=False)
    assert not await is_done(server, room.room_id)
    refused = await server.client(ALICE).post(f"/v3/join/{room.room_id}", {})
    assert error_of(refused) == (403, "M_FORBIDDEN")

    clock.advance_ms(HOUR_MS)
    await work_off(server)
    assert await is_done(server, room.room_id)
